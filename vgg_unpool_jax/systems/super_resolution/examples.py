"""Examples of super-resolution: a photo, and the same reduced."""

import dataclasses

import ml_collections
import numpy as np

from vgg_unpool_jax.data.bicubic import reduce_bicubic
from vgg_unpool_jax.data.host_augmentation import HostAugmentation
from vgg_unpool_jax.errors import ConfigError, PhotoError


@dataclasses.dataclass(frozen=True)
class MakeExample:
    """Cuts a crop to a multiple of the factor and reduces it; it can be pickled.

    Attributes:
      factor: of the sides.
      augmentation: of the photo, before it is reduced; None for none.
    """

    factor: int
    augmentation: HostAugmentation | None = None

    def __call__(
        self, crop: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """The arrays of an example.

        Args:
          crop: uint8 (h, w, 3) RGB; sides of at least the factor.
          rng: of the example.

        Returns:
          "image" uint8 (h - h % factor, w - w % factor, 3), and "input", uint8 with
          sides divided by the factor, reduced as in `data/bicubic`.
        """
        height, width = (side - side % self.factor for side in crop.shape[:2])
        if not (height and width):
            raise PhotoError(
                f"a photo must have sides of at least {self.factor} pixels to be "
                f"reduced by {self.factor}, got {crop.shape[0]}×{crop.shape[1]}"
            )
        image = crop[:height, :width]
        if self.augmentation is not None:
            image = self.augmentation(image, rng)
        image = np.ascontiguousarray(image)
        return {"image": image, "input": reduce_bicubic(image, self.factor)}


def make_example(config: ml_collections.ConfigDict, section: str) -> MakeExample:
    """What makes the examples of a section, "data" or "evaluation"."""
    factor = config.model.factor
    if section == "evaluation":
        return MakeExample(factor)
    data = config.data
    if data.flip or data.image_size % factor:
        raise ConfigError(
            "data.flip must be False and data.image_size a multiple of the factor for "
            f"super-resolution, got {data.flip} and {data.image_size}: "
            "data.augmentation turns before the photo is reduced"
        )
    return MakeExample(factor, HostAugmentation(**data.augmentation.to_dict()))
