"""The grammar of damages.

| text | |
|---|---|
| `noise:125` | Gaussian noise of standard deviation 125 grey levels, rounded, clipped |
| `noise:25:unclipped` | the same, neither rounded nor clipped, as papers measure |
| `pixelate:8` | reduced 8 times (bicubic) and enlarged by repeating pixels |
| `block:32` | a magenta square of 33×33 pixels in the middle |
| `squares` | three or four such squares of 5 to 15 pixels, of a photo of 64 |
| `grid` | nine such squares |
| `blur:15` | Gaussian blur with a kernel of 15×15, standard deviation 2.6 |
| `jpeg:5` | JPEG of quality 5, 4:2:0 |
| `noise:0-55` | a number of the range is drawn, both ends included |
| `blur:15+noise:5` | one after the other |
| `noise:0-55|jpeg:10-90` | one of them is drawn, all equally likely |

A number that is drawn, positions and noise come from the generator of the photo alone.
"""

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.data.damage import kinds
from vgg_unpool_jax.errors import ConfigError, require_image

# Name -> smallest and largest number, and what it must be; None for no number.
_NUMBERS = {
    "noise": (0, 255, "a standard deviation"),
    "pixelate": (1, 4096, "a whole factor"),
    "block": (1, 65535, "a whole number of pixels"),
    "squares": None,
    "grid": None,
    "blur": (1, 255, "an odd number of pixels"),
    "jpeg": (1, 100, "a whole quality"),
}
_UNCLIPPED = "unclipped"
_RANGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:-([0-9]+(?:\.[0-9]+)?))?")
FORMS = tuple(
    name if bounds is None else f"{name}:NUMBER" for name, bounds in _NUMBERS.items()
)


class Damaged(NamedTuple):
    """A damaged photo and how much of what a restorer can be told was done to it.

    Attributes:
      photo: (h, w, 3), `Damage.dtype`.
      noise: standard deviation of the Gaussian noise in grey levels; 0 for none.
      quality: of JPEG; 100 for none.
    """

    photo: np.ndarray
    noise: float
    quality: float


@dataclasses.dataclass(frozen=True)
class _Step:
    name: str
    low: float = 0.0
    high: float = 0.0
    is_unclipped: bool = False

    def draw(self, rng: np.random.Generator) -> float:
        if self.low == self.high:
            return self.low
        if self.name == "noise":
            return float(rng.uniform(self.low, self.high))
        step = 2 if self.name == "blur" else 1
        count = int(self.high - self.low) // step
        return int(self.low) + step * int(rng.integers(count, endpoint=True))


@dataclasses.dataclass(frozen=True)
class Damage:
    """A parsed damage; made by `make_damage`. It can be pickled.

    Attributes:
      spec: its text.
      mixture: its alternatives, each of steps that follow each other.
      is_fixed: positions and noise as in the published evaluation, by the first pixel
        of a photo; what is drawn of a range or mixture still is.
    """

    spec: str
    mixture: tuple[tuple[_Step, ...], ...]
    is_fixed: bool = False

    @property
    def dtype(self) -> type:
        """Of damaged photos: float32 if an alternative ends unclipped, else uint8."""
        ends = (chain[-1].is_unclipped for chain in self.mixture)
        return np.float32 if any(ends) else np.uint8

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> Damaged:
        """Damage a photo.

        Args:
          photo: uint8 (h, w, 3) RGB; it is not changed.
          rng: of the photo.
        """
        require_image("photo", photo, 3)
        if photo.dtype != np.uint8:
            raise ValueError(f"photo must be uint8, got {photo.dtype}")
        chosen = int(rng.integers(len(self.mixture))) if len(self.mixture) > 1 else 0
        damaged, variance, quality = photo, 0.0, 100.0
        for step in self.mixture[chosen]:
            number = step.draw(rng)
            if damaged.dtype != np.uint8:
                damaged = _rounded(damaged)
            damaged = self._apply(step, number, damaged, rng)
            if step.name == "noise":
                variance += number**2
            elif step.name == "jpeg":
                quality = min(quality, number)
        return Damaged(damaged.astype(self.dtype), variance**0.5, float(quality))

    def _apply(self, step: _Step, number, photo, rng) -> np.ndarray:
        places = None if self.is_fixed else rng
        match step.name:
            case "noise":
                if self.is_fixed:
                    rng = kinds.fixed_noise_generator(photo)
                noisy = kinds.add_noise(photo, number, rng)
                return noisy if step.is_unclipped else _rounded(noisy)
            case "pixelate":
                return kinds.pixelate(photo, int(number))
            case "block":
                return kinds.block(photo, int(number), places)
            case "squares":
                return kinds.squares(photo, places)
            case "grid":
                return kinds.grid(photo, places)
            case "blur":
                return kinds.blur(photo, int(number))
            case _:
                return kinds.compress(photo, int(number))


def make_damage(spec: str, *, is_fixed: bool = False) -> Damage:
    """Parse a damage.

    Args:
      spec: see the module's docstring.
      is_fixed: see `Damage`.
    """
    if not isinstance(spec, str) or not spec:
        raise _refusal(spec, "it is empty")
    mixture = tuple(
        tuple(_parse(step, spec) for step in chain.split("+"))
        for chain in spec.split("|")
    )
    return Damage(spec, mixture, is_fixed)


def _parse(text: str, spec: str) -> _Step:
    name, *arguments = text.strip().split(":")
    if name not in _NUMBERS:
        raise _refusal(spec, f"there is no damage {name!r}")
    if _NUMBERS[name] is None:
        if arguments:
            raise _refusal(spec, f"{name} takes no number")
        return _Step(name)
    least, most, wanted = _NUMBERS[name]
    is_unclipped = name == "noise" and arguments[1:] == [_UNCLIPPED]
    match = _RANGE.fullmatch(arguments[0]) if arguments else None
    if match is None or (len(arguments) > 1 and not is_unclipped):
        raise _refusal(spec, f"{name} needs {wanted}")
    low = float(match[1])
    high = low if match[2] is None else float(match[2])
    if name != "noise" and not (low.is_integer() and high.is_integer()):
        raise _refusal(spec, f"{name} needs {wanted}")
    if name == "blur" and not (low % 2 and high % 2):
        raise _refusal(spec, f"{name} needs {wanted}")
    if not least <= low <= high <= most:
        raise _refusal(spec, f"{name} goes from {least} to {most}, upwards")
    return _Step(name, low, high, is_unclipped)


def _rounded(photo: np.ndarray) -> np.ndarray:
    return np.rint(photo).clip(0, 255).astype(np.uint8)


def _refusal(spec, reason: str) -> ConfigError:
    return ConfigError(
        f"{spec!r} is no damage, {reason}; expected {', '.join(FORMS)}, ranges as "
        "noise:0-55, several joined by + (in turn) or | (one of them)"
    )
