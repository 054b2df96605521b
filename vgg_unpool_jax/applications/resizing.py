"""Photos reduced to a longest side, and images resized without rounding."""

import numpy as np
from PIL import Image

from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.ops.photo_range import check_photo_range


def as_photo(photo) -> np.ndarray:
    """float32 (h, w, 3); raises ValueError for another shape or range."""
    check_photo_range("photo", photo)
    photo = np.asarray(photo, np.float32)
    require_image("photo", photo, 3)
    return photo


def reduced_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width of a photo reduced to a longest side; 0 is no limit."""
    longest = max(size)
    if not side or longest <= side:
        return tuple(size)
    return tuple(max(1, round(n * side / longest)) for n in size)


def reduce_to_side(photo: np.ndarray, side: int) -> np.ndarray:
    """Reduce a photo whose longer side exceeds `side`.

    Args:
      photo: (h, w, 3) RGB in [0, 255].
      side: in pixels; 0 is no limit.

    Returns:
      float32 in [0, 255], resized bicubically with antialiasing; the photo as it is
      where it is no larger.
    """
    size = reduced_size(photo.shape[:2], side)
    if size == photo.shape[:2]:
        return photo
    return np.clip(resize(photo, size), 0.0, 255.0)


def resize(
    image: np.ndarray,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
    method: Image.Resampling = Image.Resampling.BICUBIC,
) -> np.ndarray:
    """Resize an image, or a part of it, without rounding to whole numbers.

    Args:
      image: (h, w, c).
      size: (height, width) of the result in pixels.
      box: left, top, right and bottom of the part in pixels; at its edges pixels just
        outside count too. None is the whole image.
      method: Pillow's filter, antialiased where the image is reduced.

    Returns:
      float32 (height, width, c), not clipped; the image as it is where it has that
      size.
    """
    height, width = size
    if image.shape[:2] == (height, width) and box is None:
        return image
    channels = [
        np.asarray(Image.fromarray(channel).resize((width, height), method, box=box))
        for channel in np.ascontiguousarray(np.moveaxis(image, 2, 0), np.float32)
    ]
    return np.stack(channels, axis=2)
