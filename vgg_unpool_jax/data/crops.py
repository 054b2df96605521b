"""The part of a photo that is used, given by a short specification.

| spec | part | resized to S |
|---|---|---|
| `center_resize` | the largest centred one | bicubic |
| `center_resize:375` | centred, 375 pixels, black where the photo ends | bilinear |
| `center` | centred, S pixels; photos that are too small do not fit | no |
| `whole` | the whole photo, of any shape; batches of one | no |
| `random` | anywhere, S pixels; photos that are too small are enlarged | no |
| `random_resize:0.5` | anywhere, side 0.5 to 1 times the short side | bicubic |
"""

import dataclasses
import re

import numpy as np

from vgg_unpool_jax.data import transforms
from vgg_unpool_jax.errors import ConfigError, PhotoError

# The forms of a specification in messages and help texts.
CROPS = (
    "center_resize",
    "center_resize:PIXELS",
    "random",
    "random_resize:SHARE",
    "center",
    "whole",
)
# The forms that are not random.
TEST_CROPS = ("center_resize", "center_resize:PIXELS", "center", "whole")

_NUMBERS = {
    "PIXELS": "PIXELS a whole number, at least 1",
    "SHARE": "SHARE a number in (0, 1]",
}


@dataclasses.dataclass(frozen=True)
class Crop:
    """A way to crop a photo; made by `make_crop`. It can be pickled.

    Attributes:
      form: one of CROPS.
      number: the value of PIXELS (int) or SHARE (float) in the form, else None.
      image_size: side S of the crop in pixels.
    """

    form: str
    number: int | float | None
    image_size: int

    @property
    def is_random(self) -> bool:
        """Whether `cut` draws random numbers."""
        return self.form not in TEST_CROPS

    @property
    def blank(self) -> np.ndarray:
        """Zeros that replace a photo that cannot be used; empty for "whole"."""
        size = 0 if self.form == "whole" else self.image_size
        return np.zeros((size, size, 3), np.uint8)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a photo of this shape, (H, W, ...), is large enough."""
        return self.form != "center" or min(shape[:2]) >= self.image_size

    def cut(
        self, photo: np.ndarray, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Crop a photo.

        Args:
          photo: uint8 array of shape (H, W, 3).
          rng: source of random numbers; only random crops need one.

        Returns:
          A uint8 array of shape (S, S, 3); for "whole" the photo itself.
        """
        if self.is_random and rng is None:
            raise ValueError(f"rng must be a generator for crop {self.form}, got None")
        size = self.image_size
        match self.form:
            case "center_resize":
                return transforms.center_square_resize(photo, size)
            case "center_resize:PIXELS":
                return transforms.padded_center_resize(photo, size, side=self.number)
            case "random":
                return transforms.random_crop(photo, size, rng)
            case "random_resize:SHARE":
                return transforms.random_square_resize(
                    photo, size, rng, least_share=self.number
                )
            case "whole":
                return photo
            case _:
                return transforms.center_crop(photo, size)


def make_crop(spec: str, image_size: int) -> Crop:
    """Make the crop of a specification.

    Args:
      spec: see the module's docstring.
      image_size: side S of the crop in pixels.

    Returns:
      The crop.
    """
    if image_size < 1:
        raise ConfigError(f"image_size must be at least 1 pixel, got {image_size}")
    parsed = _parse(spec)
    if parsed is None:
        raise ConfigError(_refusal(spec, "crop", CROPS))
    return Crop(*parsed, image_size=image_size)


def cut_photo(photo: np.ndarray, spec: str, image_size: int) -> np.ndarray:
    """Crop one photo as in evaluation.

    Args:
      photo: uint8 array of shape (H, W, 3).
      spec: of a crop that is not random.
      image_size: side S of the crop in pixels.

    Returns:
      As `Crop.cut`.

    Raises:
      PhotoError: the photo is too small.
    """
    crop = make_crop(spec, image_size)
    if not crop.fits(photo.shape):
        raise PhotoError(
            f"a photo of {photo.shape[0]}×{photo.shape[1]} pixels is too small for "
            f"the crop {spec!r} of {image_size} pixels"
        )
    return crop.cut(photo)


def check_crop(spec: str, *, allow_random: bool, name: str = "crop") -> None:
    """Refuse a spec that cannot be used.

    Args:
      spec: see the module's docstring.
      allow_random: True for training; False for evaluation, where every reading of a
        photo must give the same pixels.
      name: of the specification in messages, such as `data.crop`.
    """
    parsed = _parse(spec)
    forms = CROPS if allow_random else TEST_CROPS
    if parsed is None or parsed[0] not in forms:
        reason = "" if parsed is None else ", which is random"
        raise ConfigError(_refusal(spec, name, forms) + reason)


def _parse(spec: str) -> tuple[str, int | float | None] | None:
    """Form and number; None if the specification has no known form."""
    if not isinstance(spec, str):
        return None
    kind, colon, text = spec.partition(":")
    if not colon:
        # The forms with a colon are not specifications themselves.
        return (spec, None) if spec in CROPS else None
    if kind == "center_resize":
        # The sides of photos are shorter than a billion pixels.
        pixels = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
        return ("center_resize:PIXELS", pixels) if pixels >= 1 else None
    if kind == "random_resize":
        # `float` alone would accept "nan", " 0.5" and "0_5", too.
        number = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?", text)
        share = float(text) if number else 0.0
        return ("random_resize:SHARE", share) if 0 < share <= 1 else None
    return None


def _refusal(spec: str, name: str, forms: tuple[str, ...]) -> str:
    numbers = [
        words for key, words in _NUMBERS.items() if any(key in form for form in forms)
    ]
    return (
        f"{name} must be one of {', '.join(forms)} ({'; '.join(numbers)}), got {spec!r}"
    )
