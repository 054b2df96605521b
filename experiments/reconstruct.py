"""Reconstruct photos with a trained system.

    python -m vgg_unpool_jax reconstruct --workdir=W --input=FILE_OR_FOLDER \
        --output=FOLDER

Writes a PNG with the input's name for each photo; with --grid also NAME_grid.png with
input, reconstruction and error. A pair takes photos of any size, a VAE crops and
resizes them as in its evaluation.
"""

import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.each import for_each, print_peak_memory
from experiments.cli.unused import note_unused
from vgg_unpool_jax.data.photo_files import PhotoFile, list_photo_files
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation.pictures import error_image, save_png, side_by_side
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.systems import load_trained
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.training.progress import follow

_WORKDIR = flags.DEFINE_string("workdir", None, "Training run, or released decoder.")
_INPUT = flags.DEFINE_string("input", None, "A photo, or a folder (searched in depth).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the PNG files.")
_GRID = flags.DEFINE_bool("grid", False, "Write side-by-side pictures as well.")
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "VGG19 weight file; default is the one of the training."
)
_TILE = flags.DEFINE_integer(
    "tile",
    1024,
    "Larger photos are processed in tiles with sides of this many pixels; 0: whole.",
    lower_bound=0,
)


def main() -> None:
    """Run the command."""
    photos = list_photo_files(_INPUT.value, _OUTPUT.value)
    writes = [path for photo in photos for path in (photo.output, photo.grid)]
    check_outputs(writes, model_files(_WORKDIR.value, _WEIGHTS.value))
    trained = load_trained(_WORKDIR.value, _WEIGHTS.value)
    if not trained.tiles:
        note_unused("this system takes photos of one size", "tile")
    try:
        for_each(photos, lambda photo: _reconstruct(trained, photo))
    finally:
        print_peak_memory()


def _reconstruct(trained, photo: PhotoFile) -> str:
    pixels = photo.read()
    try:
        image = trained.prepare(pixels)
    except PhotoError as error:  # without the name of the file
        raise PhotoError(f"{photo.path}: {error}") from error
    result = trained.reconstruct_photo(image, tile=_TILE.value, progress=follow)
    image = image.astype(np.float32)
    save_png(photo.output, result)
    if _GRID.value:
        parts = [image, result, error_image(result, image, trained.error_gain)]
        save_png(photo.grid, side_by_side(parts))
    return f"{photo.output} L1 {np.mean(np.abs(result - image)):.3f}"


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "input", "output"])
    command.run(main)
