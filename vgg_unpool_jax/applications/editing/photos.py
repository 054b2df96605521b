"""One photo of any size through a pair, and photos brought to one size."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.systems.unpooling.pair import Pair

Switches = Sequence[jax.Array]


def encode_photo(pair: Pair, photo) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Features and switches of one photo of any size; shapes as `Pair.encode`."""
    images = jnp.asarray(as_photo(photo))[None]
    return pair.encode(pad_to_multiple(images, size_multiple(pair.block)))


def decode_photo_features(
    pair: Pair, features, switches: Switches, size: tuple[int, int]
) -> np.ndarray:
    """Decode features of one photo, cropped to `size` and clipped: (h, w, 3)."""
    image = np.asarray(pair.decode(features, switches))[0, : size[0], : size[1]]
    return np.clip(image, 0.0, 255.0)


def edit_features(
    pair: Pair,
    photo,
    function: Callable[[jax.Array, tuple], tuple[jax.Array, Switches]],
) -> np.ndarray:
    """Encode a photo, change its features and switches, and decode them.

    Args:
      pair: a trained pair.
      photo: (h, w, 3).
      function: takes features (1, h', w', c) and the tuple of switches, and returns
        both in the same shapes.

    Returns:
      (h, w, 3).
    """
    photo = as_photo(photo)
    features, switches = function(*encode_photo(pair, photo))
    if jnp.shape(features)[:1] != (1,):
        raise ValueError(
            "function must return features of one photo, (1, h, w, c), got "
            f"{jnp.shape(features)}"
        )
    return decode_photo_features(pair, features, switches, photo.shape[:2])


def match_size(photo, size: tuple[int, int]) -> np.ndarray:
    """Bring a photo to a size: the largest centred part of its shape, resized.

    Args:
      photo: (h, w, 3).
      size: height and width in pixels.

    Returns:
      float32 (height, width, 3) in [0, 255], resized bicubically with antialiasing
      (at the edges also from pixels just outside that part); the photo as it is where
      it has that size.
    """
    photo = as_photo(photo)
    height, width = size
    if min(size) < 1:
        raise ValueError(f"size must be at least 1 pixel a side, got {size}")
    if photo.shape[:2] == (height, width):
        return photo
    scale = min(photo.shape[0] / height, photo.shape[1] / width)
    above = (photo.shape[0] - height * scale) / 2
    left = (photo.shape[1] - width * scale) / 2
    # Pillow cuts and resizes in one go: a long, thin photo is never enlarged whole.
    box = (left, above, photo.shape[1] - left, photo.shape[0] - above)
    channels = [
        Image.fromarray(channel).resize(
            (width, height), Image.Resampling.BICUBIC, box=box
        )
        for channel in np.ascontiguousarray(photo.transpose(2, 0, 1))
    ]
    return np.clip(np.stack(channels, axis=-1), 0.0, 255.0)


def limit_side(photo, longest: int) -> np.ndarray:
    """The photo, reduced where its longer side has more than `longest` pixels."""
    photo = as_photo(photo)
    side = max(photo.shape[:2])
    if side <= longest:
        return photo
    size = tuple(max(1, round(s * longest / side)) for s in photo.shape[:2])
    return match_size(photo, size)


def l1(first, second) -> float:
    """Mean absolute difference of two images of one shape, in grey levels."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(np.mean(np.abs(difference)))


def as_photo(photo) -> np.ndarray:
    """float32 (h, w, 3); raises ValueError for another shape."""
    photo = np.asarray(photo, np.float32)
    if photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ValueError(f"photo must have shape (h, w, 3), got {photo.shape}")
    return photo
