"""Examples of restoration: a photo and what damage makes of it."""

import dataclasses

import ml_collections
import numpy as np

from vgg_unpool_jax.data.damage import Damage, make_damage
from vgg_unpool_jax.data.host_augmentation import HostAugmentation
from vgg_unpool_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class MakeExample:
    """Changes and damages a crop; it can be pickled.

    Attributes:
      damage: of the input.
      augmentation: of the photo, before it is damaged; None for none.
      shift: up to this number of rows and columns are cut off at the top and left of
        one half of the photos after the damage, as many at the bottom and right in all:
        8×8 blocks of JPEG then begin anywhere, as in photos that were cropped.
    """

    damage: Damage
    augmentation: HostAugmentation | None = None
    shift: int = 0

    def __call__(
        self, crop: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """The arrays of an example.

        Args:
          crop: uint8 (h, w, 3) RGB.
          rng: of the example.

        Returns:
          "image" uint8 and "input", `damage.dtype`, both (h - shift, w - shift, 3), or
          of the augmentation's size; "noise" and "quality" float32 (), see `Damaged`.
        """
        image = crop if self.augmentation is None else self.augmentation(crop, rng)
        damaged = self.damage(image, rng)
        arrays = {"image": image, "input": damaged.photo}
        if self.shift:
            top, left = (0, 0)
            if rng.integers(2):
                top, left = rng.integers(self.shift, size=2, endpoint=True)
            height, width = (side - self.shift for side in image.shape[:2])
            arrays = {
                name: np.ascontiguousarray(
                    array[top : top + height, left : left + width]
                )
                for name, array in arrays.items()
            }
        return {
            **arrays,
            "noise": np.float32(damaged.noise),
            "quality": np.float32(damaged.quality),
        }


def make_example(config: ml_collections.ConfigDict, section: str) -> MakeExample:
    """What makes the examples of a section, "data" or "evaluation"."""
    if section == "evaluation":
        fixed = config.evaluation.fixed_damage
        return MakeExample(make_damage(config.evaluation.damage, is_fixed=fixed))
    data = config.data
    if data.flip:
        raise ConfigError(
            "data.flip must be False for restoration: data.augmentation.flip flips "
            "before the damage"
        )
    changes = HostAugmentation(**data.augmentation.to_dict())
    shift = data.damage_shift
    side = changes.size or data.image_size
    if not 0 <= shift < side:
        raise ConfigError(f"data.damage_shift must lie in [0, {side}), got {shift}")
    return MakeExample(make_damage(data.damage), changes, shift)
