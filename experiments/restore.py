"""Restore photos with noise or JPEG artefacts, or with what a network was trained for.

    python -m vgg_unpool_jax restore --model=NAME_OR_WORKDIR --input=FILE_OR_FOLDER \
        --output=FOLDER [--noise=15] [--quality=30] [--strength=0.8] [--grid]

Writes a PNG with the input's name for each photo; with --grid also NAME_grid.png with
input, result and what was removed. Photos of any size, large ones in tiles. Prints the
noise and JPEG quality that the network believes to see; both can be set.
"""

from absl import flags

from experiments.cli import command
from experiments.cli.each import for_each, print_peak_memory
from vgg_unpool_jax.data.photo_files import PhotoFile, list_photo_files
from vgg_unpool_jax.evaluation.pictures import error_image, save_png, side_by_side
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.systems.restoration.trained import TILE, load_restorer
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.training.progress import follow

_MODEL = flags.DEFINE_string("model", None, "Name, released file or workdir.")
_INPUT = flags.DEFINE_string("input", None, "A photo, or a folder (searched in depth).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the PNG files.")
_NOISE = flags.DEFINE_float(
    "noise", None, "Standard deviation in grey levels; default: as estimated.", 0, 255
)
_QUALITY = flags.DEFINE_float(
    "quality", None, "Of JPEG, 100 for none; default: as estimated.", 1, 100
)
_STRENGTH = flags.DEFINE_float(
    "strength", 1.0, "Factor on noise and on 100 - quality.", lower_bound=0.0
)
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
    restorer = load_restorer(_MODEL.value)
    print(restorer.describe(), flush=True)
    try:
        for_each(photos, lambda photo: _restore(restorer, photo))
    finally:
        print_peak_memory()


def _restore(restorer, photo: PhotoFile) -> str:
    """Write the results; returns their file and what the network believes to see."""
    pixels, believed = photo.read(), ""
    options = {"noise": _NOISE.value, "quality": _QUALITY.value}
    if restorer.is_blind and None in options.values():
        found = restorer.estimate(pixels, tile=_TILE.value)
        believed = f" noise {found.noise:.1f}, JPEG quality {found.quality:.0f}"
        for name, value in found._asdict().items():
            options[name] = value if options[name] is None else options[name]
    restored = restorer.restore(
        pixels,
        **options,
        strength=_STRENGTH.value,
        tile=_TILE.value,
        progress=follow,
    )
    save_png(photo.output, restored)
    if _GRID.value:
        removed = error_image(restored, pixels, restorer.error_gain)
        save_png(photo.grid, side_by_side([pixels, restored, removed]))
    return f"{photo.output}{believed}"


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "input", "output"])
    command.run(main)
