"""Make photos again from the features of a network, once or in several rounds.

    python -m vgg_unpool_jax invert --model=NAME_OR_WORKDIR --input=FILE_OR_FOLDER \
        --output=FOLDER [--rounds=8] [--second=PHOTO] [--nearest=folder:PHOTOS]

Writes for each photo a PNG with its name, and NAME_grid.png: the photo, cropped as in
training, and its reconstruction, from whose features the next round is made, and so on.
With --second the strip is an interpolation to the features of that photo; with
--nearest it ends with the training photo that is most like the first reconstruction.
"""

import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.each import for_each
from experiments.cli.unused import note_unused
from vgg_unpool_jax.data import decode_photo, make_source, source_files
from vgg_unpool_jax.data.photo_files import PhotoFile, list_photo_files
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation.pictures import save_png, strip
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.systems.deepsim.trained import TrainedInverter, load_inverter
from vgg_unpool_jax.systems.saved import model_files

_MODEL = flags.DEFINE_string("model", None, "Name, released file or workdir.")
_INPUT = flags.DEFINE_string("input", None, "A photo, or a folder (searched in depth).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the PNG files.")
_ROUNDS = flags.DEFINE_integer("rounds", 1, "Number of rounds.", lower_bound=1)
_SECOND = flags.DEFINE_string("second", None, "Interpolate to this photo.")
_STEPS = flags.DEFINE_integer(
    "steps", 8, "Images of an interpolation, both ends included.", lower_bound=2
)
_NEAREST = flags.DEFINE_string("nearest", None, "Photos to search the nearest among.")
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "Weight file of the network; default: that of the training."
)
_SCALE = flags.DEFINE_integer("scale", 1, "Enlarge the pixels of strips.", 1)


def main() -> None:
    """Run the command."""
    photos = list_photo_files(_INPUT.value, _OUTPUT.value)
    reads = model_files(_MODEL.value, _WEIGHTS.value)
    reads += [_SECOND.value] if _SECOND.value else []
    source = make_source(_NEAREST.value) if _NEAREST.value else None
    if source is not None:
        reads += source_files(source)
    writes = [path for photo in photos for path in (photo.output, photo.grid)]
    check_outputs(writes, reads)
    if _SECOND.value:
        note_unused("the strip is an interpolation", "rounds")
    else:
        note_unused("it is for --second", "steps")
    inverter = load_inverter(_MODEL.value, _WEIGHTS.value)
    print(inverter.describe(), flush=True)
    known = None
    if source is not None:
        known = np.stack([inverter.prepare(source[i]) for i in range(len(source))])
    second = None
    if _SECOND.value:
        pixels = decode_photo(_SECOND.value, _SECOND.value, tell_alpha=True)
        second = _prepare(inverter, pixels, _SECOND.value)
    for_each(photos, lambda photo: _invert(inverter, photo, second, known))


def _invert(inverter: TrainedInverter, photo: PhotoFile, second, known) -> str:
    image = _prepare(inverter, photo.read(), photo.path)
    if second is None:
        frames = [found[0] for found in inverter.rounds(image[None], _ROUNDS.value)]
        first, frames = frames[0], [image, *frames]
    else:
        frames = inverter.interpolate(image, second, _STEPS.value)
        first, frames = frames[0], [image, *frames, second]
    if known is not None:
        errors = [np.mean(np.square(first - other)) for other in known]
        frames.append(known[int(np.argmin(errors))])
    save_png(photo.output, first)
    save_png(photo.grid, strip(np.stack(frames), scale=_SCALE.value))
    return f"{photo.output} L1 {np.mean(np.abs(first - image)):.3f}"


def _prepare(inverter: TrainedInverter, pixels: np.ndarray, path) -> np.ndarray:
    try:
        return inverter.prepare(pixels)
    except PhotoError as error:  # without the name of the file
        raise PhotoError(f"{path}: {error}") from error


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "input", "output"])
    command.run(main)
