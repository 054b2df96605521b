"""Give photos colours.

    python -m vgg_unpool_jax colorize --model=NAME_OR_WORKDIR --input=FILE_OR_FOLDER \
        --output=FOLDER [--saturation=1.2] [--hints=strokes.png] [--grid]

Writes a PNG with the input's name for each photo; with --grid also NAME_grid.png, the
grey photo beside the result. The luminance stays. Of coloured photos the luminance is
taken. --hints is a picture of the size of a single photo with strokes of the colours
that are known on a transparent ground.
"""

import io

import numpy as np
from absl import flags
from PIL import Image, ImageOps

from experiments.cli import command
from experiments.cli.each import for_each, print_peak_memory
from vgg_unpool_jax.data.formats import PILLOW_FORMATS
from vgg_unpool_jax.data.photo_files import PhotoFile, list_photo_files
from vgg_unpool_jax.errors import ConfigError, PhotoError, first_line
from vgg_unpool_jax.evaluation.pictures import save_png, side_by_side
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.systems.saved import model_files

_MODEL = flags.DEFINE_string("model", None, "Name, released file or workdir.")
_INPUT = flags.DEFINE_string("input", None, "A photo, or a folder (searched in depth).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the PNG files.")
_SATURATION = flags.DEFINE_float("saturation", 1.0, "Factor on the chroma.", 0.0, 10.0)
_HINTS = flags.DEFINE_string("hints", None, "Strokes of known colours, for one photo.")
_SIZE = flags.DEFINE_integer(
    "size", None, "Shorter side at which colours are predicted.", lower_bound=1
)
_GRID = flags.DEFINE_bool("grid", False, "Write side-by-side pictures as well.")


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.systems.colorization.trained import load_colorizer

    photos = list_photo_files(_INPUT.value, _OUTPUT.value)
    writes = [path for photo in photos for path in (photo.output, photo.grid)]
    reads = [] if _HINTS.value is None else [to_path(_HINTS.value)]
    check_outputs(writes, [*model_files(_MODEL.value), *reads])
    if reads and len(photos) > 1:
        raise ConfigError(f"--hints goes with a single photo, got {len(photos)}")
    hints = _read_hints(*reads) if reads else None
    colorizer = load_colorizer(_MODEL.value)
    print(colorizer.describe(), flush=True)
    try:
        for_each(photos, lambda photo: _colorize(colorizer, photo, hints))
    finally:
        print_peak_memory()


def _read_hints(path) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(path.read_bytes()), formats=PILLOW_FORMATS)
        hints = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make Pillow raise nearly anything
        raise PhotoError(
            f"the hints {path} cannot be read ({first_line(error)})"
        ) from error
    if hints[..., 3].all():
        raise PhotoError(
            f"the hints {path} have no transparent pixel, expected strokes on a "
            "transparent ground"
        )
    return hints


def _colorize(colorizer, photo: PhotoFile, hints) -> str:
    pixels = photo.read()
    options = {"hints": hints, "saturation": _SATURATION.value, "size": _SIZE.value}
    colored = colorizer.colorize(pixels, **options)
    save_png(photo.output, colored)
    if _GRID.value:
        options = {"saturation": 0.0, "size": _SIZE.value}
        gray = colorizer.colorize(pixels, **options)
        save_png(photo.grid, side_by_side([gray, colored]))
    return str(photo.output)


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "input", "output"])
    command.run(main)
