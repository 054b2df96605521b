"""One photo of any size through a pair, and photos brought to one size."""

from collections.abc import Sequence

import jax
import numpy as np

from vgg_unpool_jax.applications.resizing import as_photo, resize
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.ops.placing import on_device
from vgg_unpool_jax.systems.unpooling.pair import Pair

Switches = Sequence[jax.Array]


def encode_photo(pair: Pair, photo) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Features and switches of one photo of any size; shapes as `Pair.encode`."""
    images = on_device(as_photo(photo))[None]
    return pair.encode(pad_to_multiple(images, size_multiple(pair.block)))


def decode_photo_features(
    pair: Pair, features, switches: Switches, size: tuple[int, int]
) -> np.ndarray:
    """Decode features of one photo, cropped to `size` and clipped: (h, w, 3)."""
    image = np.asarray(pair.decode(features, switches))[0, : size[0], : size[1]]
    return np.clip(image, 0.0, 255.0)


def match_size(photo, size: tuple[int, int]) -> np.ndarray:
    """Bring a photo to a size: its largest centred part of that shape, resized.

    Args:
      photo: (h, w, 3).
      size: height and width in pixels.

    Returns:
      float32 (height, width, 3) in [0, 255], resized bicubically with antialiasing; the
      photo as it is where it has that size.
    """
    photo = as_photo(photo)
    height, width = size
    if photo.shape[:2] == (height, width):
        return photo
    scale = min(photo.shape[0] / height, photo.shape[1] / width)
    above = (photo.shape[0] - height * scale) / 2
    left = (photo.shape[1] - width * scale) / 2
    box = (left, above, photo.shape[1] - left, photo.shape[0] - above)
    return np.clip(resize(photo, size, box), 0.0, 255.0)


def l1(first, second) -> float:
    """Mean absolute difference of two images of one shape, in grey levels."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(np.mean(np.abs(difference)))
