"""Draw images from a trained VAE, or interpolate between photos through its codes.

    python -m vgg_unpool_jax sample --workdir=W --num=64 --output=grid.png
    python -m vgg_unpool_jax sample --workdir=W --output=w.png --interpolate A.jpg B.jpg

The first writes a grid of samples from the prior; the second a strip from photo to
photo (two or more), with --steps images from one to the next, both ends included.
"""

import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.unused import note_unused
from vgg_unpool_jax.data import decode_photo
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.evaluation.pictures import (
    check_photo_name,
    save_photo,
    square_grid,
    strip,
)
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.systems.vae.pictures import walk

_WORKDIR = flags.DEFINE_string("workdir", None, "Training run, or released model.")
_OUTPUT = flags.DEFINE_string("output", None, "Picture to write, such as grid.png.")
_NUM = flags.DEFINE_integer("num", 64, "Number of samples.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Factor on the codes' standard deviation.", lower_bound=0.0
)
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of the samples.", lower_bound=0)
_SCALE = flags.DEFINE_integer("scale", 1, "Enlarge the pixels.", lower_bound=1)
_STEPS = flags.DEFINE_integer(
    "steps", 8, "Number of images from one photo to the next.", lower_bound=2
)
_INTERPOLATE = flags.DEFINE_bool(
    "interpolate", False, "Interpolate between the photos named after the flags."
)


def main(photos: list[str]) -> None:
    """Run the command; `photos` are the arguments after the flags."""
    import jax

    from vgg_unpool_jax.systems.vae.trained import load_vae

    if _INTERPOLATE.value and len(photos) < 2:
        raise ConfigError(f"--interpolate needs two photos or more, got {len(photos)}")
    if photos and not _INTERPOLATE.value:
        raise ConfigError(f"unknown arguments without --interpolate: {photos}")
    if _INTERPOLATE.value:
        reason = "--interpolate draws no samples"
        note_unused(reason, "num", "temperature", "seed")
    else:
        note_unused("it is for --interpolate", "steps")
    check_photo_name(_OUTPUT.value)
    check_outputs([_OUTPUT.value], [*photos, *model_files(_WORKDIR.value)])
    vae = load_vae(_WORKDIR.value)
    if _INTERPOLATE.value:
        images = np.stack([_prepare(vae, path) for path in photos])
        means, _ = vae.encode(images)
        frames = vae.decode(walk(np.asarray(means), _STEPS.value))
        picture = strip(np.asarray(frames), scale=_SCALE.value)
    else:
        key = jax.random.key(_SEED.value)
        images = vae.sample(key, _NUM.value, _TEMPERATURE.value)
        picture = square_grid(np.asarray(images), scale=_SCALE.value)
    save_photo(_OUTPUT.value, picture)
    print(f"{vae.describe()}\npicture: {_OUTPUT.value}")


def _prepare(vae, path: str) -> np.ndarray:
    pixels = decode_photo(path, path, tell_alpha=True)
    try:
        return vae.prepare(pixels)
    except PhotoError as error:  # without the name of the file
        raise PhotoError(f"{path}: {error}") from error


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "output"])
    command.run(main, positional=True)
