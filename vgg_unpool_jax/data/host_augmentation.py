"""Random changes to a crop on the host, before it is damaged.

Photos are uint8 (h, w, 3) RGB.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageEnhance

from vgg_unpool_jax.data.transforms import center_crop
from vgg_unpool_jax.errors import ConfigError

_WHITE = 255


@dataclasses.dataclass(frozen=True)
class HostAugmentation:
    """Changes in the order of the attributes; each is left out at its default.

    Attributes:
      flip: mirror left to right with probability 1/2.
      turn: one of the eight rotations and reflections of the square.
      jitter: brightness, contrast and saturation are multiplied by factors that are
        uniform in [1 - jitter, 1 + jitter], in random order with `hue`.
      hue: the hue is shifted by a share of the circle, uniform in [-hue, hue].
      scale: enlarged about the centre by a factor uniform in [1 - scale, 1 + scale]
        (bicubic); what comes in from beyond the border is black.
      gray_share: share of photos that lose their colour (BT.601 luma).
      size: side of the centre crop after that; 0 is none.

    Source: torchvision's RandomHorizontalFlip, ColorJitter, RandomAffine and CenterCrop
    on PIL images.
    """

    flip: bool = False
    turn: bool = False
    jitter: float = 0.0
    hue: float = 0.0
    scale: float = 0.0
    gray_share: float = 0.0
    size: int = 0

    def __post_init__(self):
        """Check the ranges."""
        for name, most in (
            ("jitter", 1.0),
            ("hue", 0.5),
            ("scale", 0.99),
            ("gray_share", 1.0),
        ):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ConfigError(
                    f"data.augmentation.{name} must lie in [0, {most:g}], got {value}"
                )
        if self.size < 0:
            raise ConfigError(
                f"data.augmentation.size must be at least 0, got {self.size}"
            )

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change a photo; the result has the sides `size`, if that is not 0."""
        if self.flip and rng.integers(2):
            photo = photo[:, ::-1]
        if self.turn:
            photo = np.rot90(photo, int(rng.integers(4)))
            photo = photo[:, ::-1] if rng.integers(2) else photo
        image = Image.fromarray(np.ascontiguousarray(photo))
        if self.jitter or self.hue:
            image = self._jitter(image, rng)
        if self.scale:
            image = _enlarged(image, rng.uniform(1 - self.scale, 1 + self.scale))
        if self.gray_share and rng.random() < self.gray_share:
            image = image.convert("L").convert("RGB")
        photo = np.array(image)
        return center_crop(photo, self.size) if self.size else photo

    def _jitter(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind in rng.permutation(4):
            if kind < 3:
                factor = rng.uniform(1 - self.jitter, 1 + self.jitter)
                image = enhancers[kind](image).enhance(factor) if self.jitter else image
            else:
                # Even without a shift, HSV in 8 bits is not the same photo.
                share = rng.uniform(-self.hue, self.hue)
                image = shift_hue(image, share) if self.hue else image
        return image


def shift_hue(image: Image.Image, share: float) -> Image.Image:
    """Turn the hue of an RGB image by a share of the circle, in [-1, 1]."""
    values = np.array(image.convert("HSV"))
    values[..., 0] += np.uint8(int(share * _WHITE) % (_WHITE + 1))
    return Image.fromarray(values, "HSV").convert("RGB")


def _enlarged(image: Image.Image, factor: float) -> Image.Image:
    x, y = (side / 2 * (1 - 1 / factor) for side in image.size)
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        (1 / factor, 0, x, 0, 1 / factor, y),
        Image.Resampling.BICUBIC,
    )
