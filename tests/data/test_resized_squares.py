"""Padded centres against torchvision's recipe, random squares against all there are."""

import math

import jax
import numpy as np
import pytest
from PIL import Image, ImageOps

from vgg_unpool_jax.data import padded_center_resize, random_square_resize


def _torchvision(photo, side, size):
    """CenterCrop(side), then Resize(size): torchvision's formulas on a PIL image."""
    image = Image.fromarray(photo)
    if side > image.width or side > image.height:
        wide, high = side - image.width, side - image.height
        border = (
            wide // 2 if wide > 0 else 0,
            high // 2 if high > 0 else 0,
            (wide + 1) // 2 if wide > 0 else 0,
            (high + 1) // 2 if high > 0 else 0,
        )
        image = ImageOps.expand(image, border=border, fill=0)
    top = round((image.height - side) / 2.0)
    left = round((image.width - side) / 2.0)
    image = image.crop((left, top, left + side, top + side))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


_LENGTHS = (1, 14, 15, 16, 17, 18, 19, 25, 30)


@pytest.mark.parametrize("side", [1, 15, 16])
@pytest.mark.parametrize("size", [5, 16, 33])
def test_padded_centres_are_torchvisions(make_photo, side, size):
    """All pairs of odd, even, too short and long sides."""
    for height in _LENGTHS:
        for width in _LENGTHS:
            photo = make_photo(9, height, width)
            result = padded_center_resize(photo, size, side=side)
            assert result.dtype == np.uint8
            np.testing.assert_array_equal(
                result, _torchvision(photo, side, size), err_msg=f"{height}, {width}"
            )


def test_shrinking_is_the_antialiased_triangle_filter():
    """Against jax' own resize; Pillow rounds to bytes between rows and columns."""
    photo = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    expected = jax.image.resize(
        photo.astype(np.float32), (9, 9, 3), "linear", antialias=True
    )
    result = padded_center_resize(photo, 9, side=40).astype(np.float32)
    assert np.abs(result - np.asarray(expected)).max() <= 1.01
    without = jax.image.resize(
        photo.astype(np.float32), (9, 9, 3), "linear", antialias=False
    )
    assert np.abs(result - np.asarray(without)).max() > 20


def _all_squares(photo, least, size):
    """Bytes of a resized square -> (its side, top, left)."""
    height, width = photo.shape[:2]
    image = Image.fromarray(photo)
    squares = {}
    for side in range(least, min(height, width) + 1):
        for top in range(height - side + 1):
            for left in range(width - side + 1):
                box = (left, top, left + side, top + side)
                square = image.crop(box)
                square = square.resize((size, size), Image.Resampling.BICUBIC)
                squares[square.tobytes()] = (side, top, left)
    return squares


@pytest.mark.parametrize("height, width", [(10, 13), (14, 10)])
def test_random_squares_are_uniform_in_side_and_position(make_photo, height, width):
    """Sides uniform in [5, 10] round to 5 and 10 half as often as to those between."""
    photo = make_photo(3, height, width)
    squares = _all_squares(photo, 1, 8)
    rng = np.random.default_rng(1)
    draws = 6000
    found = []
    for _ in range(draws):
        cut = random_square_resize(photo, 8, rng, least_share=0.5)
        found.append(squares[cut.tobytes()])
    sides, counts = np.unique([side for side, _, _ in found], return_counts=True)
    assert sides.tolist() == [5, 6, 7, 8, 9, 10]
    expected = np.array([0.1, 0.2, 0.2, 0.2, 0.2, 0.1])
    # Five standard deviations of a share, which is 0.005 at most.
    np.testing.assert_allclose(counts / draws, expected, atol=0.026)
    for side in (8, 10):
        positions = [position for other, *position in found if other == side]
        ways, counts = np.unique(positions, axis=0, return_counts=True)
        assert len(ways) == (height - side + 1) * (width - side + 1)
        even = len(positions) / len(ways)
        assert np.abs(counts - even).max() < 5 * math.sqrt(even)
