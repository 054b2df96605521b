"""Bicubic change of size as tables of super-resolution have it.

The kernel of MATLAB's `imresize`: Keys' cubic with a = -1/2, widened by the factor when
a photo is reduced, with mirrored borders. Pillow's BICUBIC has the same kernel, but
weighs what is inside the photo only, and rounds and clips after each direction: away
from the borders both differ by that.

Source: R. Keys, "Cubic convolution interpolation for digital image processing", 1981;
the documentation of MATLAB's `imresize`.
"""

import functools
import math

import numpy as np


def resize_bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Change the size of an image.

    Args:
      image: (h, w, c), any real dtype.
      height: of the result in pixels.
      width: of the result in pixels.

    Returns:
      (height, width, c): uint8 for uint8, rounded and clipped once, else float64.
    """
    image = np.asarray(image)
    if image.ndim != 3 or not image.size:
        raise ValueError(f"image must have shape (h, w, c), got {image.shape}")
    if min(height, width) < 1:
        raise ValueError(f"sizes must be at least 1, got {height}×{width}")
    resized = image.astype(np.float64)
    for axis, length in enumerate((height, width)):
        if length != image.shape[axis]:
            resized = _resize(resized, axis, length)
    if image.dtype != np.uint8:
        return resized
    return np.clip(np.floor(resized + 0.5), 0, 255).astype(np.uint8)


def reduce_bicubic(image: np.ndarray, factor: int) -> np.ndarray:
    """An image (h, w, c) with sides divided by a factor that divides them."""
    height, width = image.shape[:2]
    if height % factor or width % factor:
        raise ValueError(
            f"image must have sides that are multiples of {factor}, got "
            f"{height}×{width}"
        )
    return resize_bicubic(image, height // factor, width // factor)


@functools.lru_cache(maxsize=64)
def bicubic_taps(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and weights of the inputs that make each output.

    Args:
      inputs: number of positions.
      outputs: number of new positions over the same length.

    Returns:
      int64 and float64 (outputs, taps); the weights of each output add up to 1.
    """
    scale = outputs / inputs
    stretch = min(scale, 1.0)  # below 1 the kernel is widened
    reach = 2.0 / stretch
    centers = (np.arange(outputs) + 0.5) / scale - 0.5
    first = np.floor(centers - reach).astype(np.int64)
    positions = first[:, None] + np.arange(math.ceil(2 * reach) + 2)
    weights = _cubic(stretch * (centers[:, None] - positions))
    weights /= weights.sum(axis=1, keepdims=True)
    # Mirrored: ..., 1, 0 | 0, 1, ..., n - 1 | n - 1, ...
    mirrored = positions % (2 * inputs)
    mirrored = np.where(mirrored < inputs, mirrored, 2 * inputs - 1 - mirrored)
    used = np.any(weights != 0, axis=0)
    return mirrored[:, used], weights[:, used]


def _cubic(distance: np.ndarray) -> np.ndarray:
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _resize(image: np.ndarray, axis: int, length: int) -> np.ndarray:
    positions, weights = bicubic_taps(image.shape[axis], length)
    shape = [1, 1, 1]
    shape[axis] = length
    # One tap at a time, because all of them at once are many copies of the image.
    return sum(
        np.take(image, positions[:, tap], axis) * weights[:, tap].reshape(shape)
        for tap in range(positions.shape[1])
    )
