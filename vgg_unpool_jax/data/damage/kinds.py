"""The single damages of a photo, uint8 (h, w, 3) RGB.

Sizes in pixels are for photos of any size, except those that the published programs fix
for crops of 64 pixels (`squares`, `grid`, the offsets of `block`): these are scaled by
the sides of the photo.

Source: the restoration programs beside facecompressor (PyTorch, OpenCV); rectangles and
blur have OpenCV's pixels, sizes and JPEG Pillow's.
"""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from vgg_unpool_jax.errors import ConfigError

MAGENTA = (255, 0, 255)
# The crops for which the published programs name positions and sizes.
_PUBLISHED_SIDE = 64
# (x, y, size) of the published evaluation; its other lists are the mirror images.
_SQUARES = ((9, 17, 5), (39, 20, 12), (48, 42, 9), (18, 52, 7))
_SQUARES_DRAWN = (3, 4)
_SQUARE_SIZES = (4, 14)
_GRID_SIZE, _GRID_STEP, _GRID_COUNT = 12, 14, 3
_NOISE_FIELDS = 3
# OpenCV's weights of small kernels, in units of 1/256.
_SMALL_KERNELS = {
    3: (64, 128, 64),
    5: (16, 64, 96, 64, 16),
    7: (8, 28, 56, 72, 56, 28, 8),
}


def add_noise(
    photo: np.ndarray, deviation: float, rng: np.random.Generator
) -> np.ndarray:
    """Independent Gaussian noise of mean 0 on every value; float32, not clipped."""
    field = rng.standard_normal(photo.shape, np.float32)
    return photo + np.float32(deviation) * field


def fixed_noise_generator(photo: np.ndarray) -> np.random.Generator:
    """One of three generators, by the first pixel of a photo."""
    return np.random.default_rng((0, choose_by_first_pixel(photo, _NOISE_FIELDS)))


def choose_by_first_pixel(photo: np.ndarray, count: int) -> int:
    """A number below `count` that the sum of the first pixel's channels decides."""
    return int(photo[0, 0].sum(dtype=np.int64)) * count // 766


def pixelate(photo: np.ndarray, factor: int) -> np.ndarray:
    """Reduce by a whole factor (bicubic, antialiased), enlarge by repeating pixels."""
    height, width = photo.shape[:2]
    small = max(1, width // factor), max(1, height // factor)
    image = Image.fromarray(photo).resize(small, Image.Resampling.BICUBIC)
    return np.array(image.resize((width, height), Image.Resampling.NEAREST))


def compress(photo: np.ndarray, quality: int) -> np.ndarray:
    """JPEG with 4:2:0 subsampling, and back."""
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as image:
        return np.array(image)


def block(photo: np.ndarray, size: int, rng: np.random.Generator | None) -> np.ndarray:
    """A square near the centre; without a generator exactly there."""
    height, width = photo.shape[:2]
    if size >= min(height, width):
        raise ConfigError(
            f"the damage block:{size} covers a photo of {height}×{width} pixels: take "
            "a smaller size"
        )
    x, y = (
        (side - size) // 2 + (0 if rng is None else _offset(rng, _scaled(1, side)))
        for side in (width, height)
    )
    return _paint(photo, [(x, y, size)])


def squares(photo: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Three or four squares anywhere; without a generator one of four fixed lists."""
    height, width = photo.shape[:2]
    if rng is None:
        return _paint(photo, _fixed_squares(photo))
    drawn = []
    for _ in range(rng.integers(*_SQUARES_DRAWN, endpoint=True)):
        size = _scaled(rng.integers(*_SQUARE_SIZES, endpoint=True), min(width, height))
        x, y = (int(rng.integers(max(side - size, 1))) for side in (width, height))
        drawn.append((x, y, size))
    return _paint(photo, drawn)


def grid(photo: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Nine squares in three rows; without a generator from a fixed corner."""
    height, width = photo.shape[:2]
    size = _scaled(_GRID_SIZE, min(height, width))
    columns, rows = _grid_lines(width, rng), _grid_lines(height, rng)
    return _paint(photo, [(x, y, size) for x in columns for y in rows])


def _grid_lines(side: int, rng: np.random.Generator | None) -> list[int]:
    first = _GRID_SIZE + (0 if rng is None else _offset(rng, 1))
    return [_scaled(first + k * _GRID_STEP, side) for k in range(_GRID_COUNT)]


def blur(photo: np.ndarray, size: int) -> np.ndarray:
    """Gaussian blur with OpenCV's standard deviation for a kernel of this odd size.

    The photo is continued by its border pixels. OpenCV computes with integers: weights
    in units of 1/256 that sum to 1, and one rounding after both directions.
    """
    weights = _gaussian_weights(size)
    sums = photo.astype(np.int32)
    for axis in (0, 1):
        pads = [(size // 2, size // 2) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(sums, pads, mode="edge")
        length = photo.shape[axis]
        sums = sum(
            int(weight) * padded.take(range(tap, tap + length), axis)
            for tap, weight in enumerate(weights)
        )
    return ((sums + 2**15) >> 16).astype(np.uint8)


def _gaussian_weights(size: int) -> np.ndarray:
    """Whole numbers (size,) that sum to 256."""
    if size in _SMALL_KERNELS:
        return np.asarray(_SMALL_KERNELS[size])
    deviation = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    places = np.arange(size) - size // 2
    exact = np.exp(-(places**2) / (2 * deviation**2))
    exact *= 256 / exact.sum()
    weights, error = np.zeros(size, np.int64), 0.0
    # From the ends inwards, each rounding error passed on; the middle takes the rest.
    for tap in range(size // 2):
        wanted = exact[tap] + error
        weights[tap] = weights[-1 - tap] = np.rint(wanted)
        error = wanted - weights[tap]
    weights[size // 2] = 256 - weights.sum()
    return weights


def _fixed_squares(photo: np.ndarray) -> list[tuple[int, int, int]]:
    height, width = photo.shape[:2]
    mirrored = choose_by_first_pixel(photo, 4)
    found = []
    for x, y, size in _SQUARES:
        size = _scaled(size, min(height, width))
        x, y = _scaled(x, width), _scaled(y, height)
        # Painted squares have one pixel more than their size.
        x = width - 1 - size - x if mirrored & 1 else x
        y = height - 1 - size - y if mirrored & 2 else y
        found.append((x, y, size))
    return found


def _paint(photo: np.ndarray, found: Iterable[tuple[int, int, int]]) -> np.ndarray:
    """Squares (x, y, size) with both corners, as OpenCV's filled rectangles."""
    photo = photo.copy()
    for x, y, size in found:
        photo[max(y, 0) : y + size + 1, max(x, 0) : x + size + 1] = MAGENTA
    return photo


def _scaled(length: int, side: int) -> int:
    """A length of the published crops for a photo of another side, at least 1."""
    return max(1, round(int(length) * side / _PUBLISHED_SIDE))


def _offset(rng: np.random.Generator, most: int) -> int:
    """At most this number of pixels in either direction.

    The published program draws the two ends alone, and evaluates in the middle, where
    its networks have never seen a border: 17.3 dB there, 22.9 dB at both ends.
    """
    return int(rng.integers(-most, most, endpoint=True))
