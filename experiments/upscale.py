"""Enlarge photos.

    python -m vgg_unpool_jax upscale --model=NAME_OR_WORKDIR --input=FILE_OR_FOLDER \
        --output=FOLDER [--factor=4] [--iterative] [--grid]

Writes a PNG with the input's name for each photo; with --grid also NAME_grid.png, the
bicubic enlargement beside the result. Photos of any size, large ones in tiles. A
network has one factor; --iterative reaches others by applying it again and again and
reducing the last result.
"""

from absl import flags

from experiments.cli import command
from experiments.cli.each import for_each, print_peak_memory
from vgg_unpool_jax.data.bicubic import resize_bicubic
from vgg_unpool_jax.data.photo_files import PhotoFile, list_photo_files
from vgg_unpool_jax.evaluation.pictures import save_png, side_by_side
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.systems.super_resolution.trained import TILE, load_upscaler
from vgg_unpool_jax.training.progress import follow

_MODEL = flags.DEFINE_string("model", None, "Name, released file or workdir.")
_INPUT = flags.DEFINE_string("input", None, "A photo, or a folder (searched in depth).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the PNG files.")
_FACTOR = flags.DEFINE_integer(
    "factor", None, "Of the sides; default: that of the network.", lower_bound=2
)
_ITERATIVE = flags.DEFINE_bool("iterative", False, "Allow other factors.")
_GRID = flags.DEFINE_bool("grid", False, "Write side-by-side pictures as well.")
_TILE = flags.DEFINE_integer(
    "tile",
    TILE,
    "Larger photos are processed in tiles with sides of this many pixels; 0: whole.",
    lower_bound=0,
)


def main() -> None:
    """Run the command."""
    photos = list_photo_files(_INPUT.value, _OUTPUT.value)
    writes = [path for photo in photos for path in (photo.output, photo.grid)]
    check_outputs(writes, model_files(_MODEL.value))
    upscaler = load_upscaler(_MODEL.value)
    print(upscaler.describe(), flush=True)
    try:
        for_each(photos, lambda photo: _upscale(upscaler, photo))
    finally:
        print_peak_memory()


def _upscale(upscaler, photo: PhotoFile) -> str:
    pixels = photo.read()
    enlarged = upscaler.upscale(
        pixels,
        _FACTOR.value,
        iterative=_ITERATIVE.value,
        tile=_TILE.value,
        progress=follow,
    )
    height, width = enlarged.shape[:2]
    save_png(photo.output, enlarged)
    if _GRID.value:
        bicubic = resize_bicubic(pixels, height, width)
        save_png(photo.grid, side_by_side([bicubic, enlarged]))
    return f"{photo.output} {height}×{width}"


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "input", "output"])
    command.run(main)
