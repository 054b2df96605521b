"""Photo -> square training or test crop.

Photos and crops are uint8 arrays of shape (H, W, 3), RGB in [0, 255].
"""

import numpy as np
from PIL import Image

from vgg_unpool_jax.errors import require_image

# Above this size only the square itself is enlarged: a photo of three rows and 20,000
# columns, enlarged to 256 rows, would take gigabytes.
_MOST_ENLARGED_PIXELS = 2**24


def center_square_resize(photo: np.ndarray, size: int) -> np.ndarray:
    """Cut the largest centred square and resize it with antialiasing (bicubic).

    Args:
      photo: uint8 array of shape (H, W, 3).
      size: side of the result in pixels.

    Returns:
      A uint8 array of shape (size, size, 3).
    """
    _check(photo, size)
    side = min(photo.shape[:2])
    return _resize(_cut_center(photo, side), size, size)


def random_crop(photo: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a square of `size` pixels at a uniformly random position.

    A photo whose short side is below `size` is first enlarged (bicubic, shape kept) so
    that its short side equals `size`.

    Args:
      photo: uint8 array of shape (H, W, 3).
      size: side of the result in pixels.
      rng: generator of the position; two numbers are drawn.

    Returns:
      A uint8 array of shape (size, size, 3).
    """
    _check(photo, size)
    height, width = photo.shape[:2]
    short = min(height, width)
    enlarged = short < size
    if enlarged:
        height = max(size, round(height * size / short))
        width = max(size, round(width * size / short))
    top, left = random_corner(height, width, size, rng)
    if enlarged and height * width > _MOST_ENLARGED_PIXELS:
        return _enlarge_part(photo, height, width, top, left, size)
    photo = _resize(photo, height, width)
    return np.ascontiguousarray(photo[top : top + size, left : left + size])


def random_corner(
    height: int, width: int, size: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Row and column of the first pixel of a random square inside height × width."""
    return int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))


def center_crop(photo: np.ndarray, size: int) -> np.ndarray:
    """Cut the centred square of `size` pixels without resizing.

    Where the margin is odd, the extra row or column is left at the bottom or right.

    Args:
      photo: uint8 array of shape (H, W, 3).
      size: side of the result in pixels.

    Returns:
      A uint8 array of shape (size, size, 3).
    """
    _check(photo, size)
    if min(photo.shape[:2]) < size:
        raise ValueError(
            f"photo must be at least {size} x {size} pixels for a centre crop of that "
            f"size, got height {photo.shape[0]} and width {photo.shape[1]}"
        )
    return np.ascontiguousarray(_cut_center(photo, size))


def padded_center_resize(photo: np.ndarray, size: int, *, side: int) -> np.ndarray:
    """Cut the centred square of `side` pixels and resize it with antialiasing.

    A photo that is smaller than `side` is padded with black on both sides. Where the
    padding is odd, the extra row or column comes at the bottom or right; where the
    margin that is cut off is odd, half of it is rounded to the even number.

    Args:
      photo: uint8 array of shape (H, W, 3).
      size: side of the result in pixels.
      side: side of the square in pixels of the photo.

    Returns:
      A uint8 array of shape (size, size, 3), resized bilinearly.

    Source:
      torchvision's CenterCrop(side) and Resize(size) with their defaults, for PIL
      images; the same pixels.
    """
    _check(photo, size)
    if side < 1:
        raise ValueError(f"side must be at least 1 pixel, got {side}")
    (top, above, below), (left, before, after) = (
        _center_or_padding(length, side) for length in photo.shape[:2]
    )
    square = photo[top : top + side, left : left + side]
    square = np.pad(square, ((above, below), (before, after), (0, 0)))
    return _resize(square, size, size, Image.Resampling.BILINEAR)


def random_square_resize(
    photo: np.ndarray, size: int, rng: np.random.Generator, *, least_share: float
) -> np.ndarray:
    """Cut a square of random side at a random position and resize it (bicubic).

    The side is uniform in [least_share, 1] times the short side of the photo, then
    rounded to whole pixels; the position is uniform among those inside the photo.

    Args:
      photo: uint8 array of shape (H, W, 3).
      size: side of the result in pixels.
      rng: generator of side and position; three numbers are drawn.
      least_share: smallest side as a share of the short side, in (0, 1].

    Returns:
      A uint8 array of shape (size, size, 3).
    """
    _check(photo, size)
    if not 0 < least_share <= 1:
        raise ValueError(f"least_share must lie in (0, 1], got {least_share}")
    height, width = photo.shape[:2]
    short = min(height, width)
    side = max(1, round(rng.uniform(least_share, 1) * short))
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    return _resize(photo[top : top + side, left : left + side], size, size)


def _center_or_padding(length: int, side: int) -> tuple[int, int, int]:
    """Where the centred part of one axis begins, and the padding on both its ends."""
    missing = max(side - length, 0)
    # Python rounds halves to the even number, and so does torchvision.
    start = round(max(length - side, 0) / 2)
    return start, missing // 2, (missing + 1) // 2


def _cut_center(photo: np.ndarray, side: int) -> np.ndarray:
    top = (photo.shape[0] - side) // 2
    left = (photo.shape[1] - side) // 2
    return photo[top : top + side, left : left + side]


def _resize(
    photo: np.ndarray,
    height: int,
    width: int,
    kernel: Image.Resampling = Image.Resampling.BICUBIC,
) -> np.ndarray:
    """When shrinking, Pillow widens the kernel, which is the antialiasing."""
    if photo.shape[:2] == (height, width):
        return np.ascontiguousarray(photo)
    image = Image.fromarray(np.ascontiguousarray(photo))
    return np.array(image.resize((width, height), kernel))


def _enlarge_part(
    photo: np.ndarray, height: int, width: int, top: int, left: int, size: int
) -> np.ndarray:
    """A square out of the photo enlarged to height × width, within two grey levels.

    Pillow keeps the square's position as 32-bit numbers only.
    """
    rows, columns = photo.shape[0] / height, photo.shape[1] / width
    box = (
        left * columns,
        top * rows,
        min((left + size) * columns, photo.shape[1]),
        min((top + size) * rows, photo.shape[0]),
    )
    image = Image.fromarray(np.ascontiguousarray(photo))
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _check(photo: np.ndarray, size: int) -> None:
    require_image("photo", photo, 3)
    if photo.dtype != np.uint8:
        raise ValueError(f"photo must be of dtype uint8, got {photo.dtype}")
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
