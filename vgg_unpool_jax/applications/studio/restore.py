"""Photos restored, coloured and enlarged."""

from typing import Any, NamedTuple

import numpy as np

from vgg_unpool_jax.applications.studio.jobs import Job
from vgg_unpool_jax.data.bicubic import resize_bicubic
from vgg_unpool_jax.data.damage import make_damage
from vgg_unpool_jax.data.examples import example_generator
from vgg_unpool_jax.errors import PhotoError

# Damages by their titles: the grammar's name, and the level's range and default.
DAMAGES = {
    "none": None,
    "noise": ("noise", 1, 100, 25),
    "JPEG": ("jpeg", 2, 60, 10),
    "blur": ("blur", 1, 31, 9),
    "mosaic": ("pixelate", 2, 16, 4),
}
# Results are four times as wide and high.
_MAX_ENLARGED = 2**24


class Restored(NamedTuple):
    """A photo before and after.

    Attributes:
      before: what the network got, uint8 (h, w, 3); of an enlargement the bicubic one.
      after: float32 (h, w, 3) in [0, 255].
      note: what the network believes to see; else empty.
    """

    before: np.ndarray
    after: np.ndarray
    note: str = ""


def damage_spec(kind: str, level: float) -> str | None:
    """A damage in the grammar of `data/damage`; None for none."""
    if DAMAGES[kind] is None:
        return None
    name, low, high, _ = DAMAGES[kind]
    level = min(max(round(level), low), high)
    if name == "blur":
        level += 1 - level % 2
    return f"{name}:{level}"


def damage(photo: np.ndarray, kind: str, level: float) -> np.ndarray:
    """Damage a photo uint8 (h, w, 3) as the command `damage` does a single one."""
    spec = damage_spec(kind, level)
    if spec is None:
        return photo
    return make_damage(spec)(photo, example_generator(0, 0)).photo


def restore(restorer: Any, photo: np.ndarray, strength: float, job: Job) -> Restored:
    """Take damage away; `strength` is for blind restorers."""
    job.say(0.0, "restoring")
    options, note = {"progress": job.follow}, ""
    if restorer.is_blind:
        found = restorer.estimate(photo)
        options |= {**found._asdict(), "strength": strength}
        note = f"estimated noise {found.noise:.1f}, JPEG quality {found.quality:.0f}"
    return Restored(photo, restorer.restore(photo, **options), note)


def colorize(
    colorizer: Any, photo: np.ndarray, saturation: float, job: Job
) -> Restored:
    """Give a photo colours; `before` is its luminance."""
    job.say(0.0, "colouring")
    colored = colorizer.colorize(photo, saturation=saturation)
    job.say(0.7, "grey photo")
    return Restored(colorizer.colorize(photo, saturation=0.0), colored)


def enlarge(upscaler: Any, photo: np.ndarray, job: Job) -> Restored:
    """Enlarge a photo by the factor of the network."""
    height, width = (upscaler.factor * side for side in photo.shape[:2])
    if height * width > _MAX_ENLARGED:
        raise PhotoError(
            f"a photo of {photo.shape[1]}×{photo.shape[0]} would be enlarged to "
            f"{width}×{height}, and the studio makes up to {_MAX_ENLARGED:,} pixels: "
            "`./launch.sh upscale` takes larger ones"
        )
    job.say(0.0, "enlarging")
    enlarged = upscaler.upscale(photo, progress=job.follow)
    return Restored(resize_bicubic(photo, height, width), enlarged)
