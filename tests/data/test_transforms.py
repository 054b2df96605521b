"""Crops and resizing against Pillow and against what can be computed by hand."""

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import center_crop, center_square_resize, random_crop


@pytest.mark.parametrize("height, width", [(24, 32), (33, 20), (16, 16), (41, 40)])
@pytest.mark.parametrize("size", [7, 16, 50])
def test_center_square_resize_equals_pillow(make_photo, height, width, size):
    photo = make_photo(5, height, width)
    result = center_square_resize(photo, size)
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    expected = (
        Image.fromarray(photo)
        .crop((left, top, left + side, top + side))
        .resize((size, size), Image.Resampling.BICUBIC)
    )
    np.testing.assert_array_equal(result, np.asarray(expected))
    assert result.dtype == np.uint8


@pytest.mark.parametrize(
    "height, width, top, left",
    [(8, 12, 2, 4), (9, 4, 2, 0), (5, 7, 0, 1), (4, 4, 0, 0)],
)
def test_center_crop_takes_the_middle(make_photo, height, width, top, left):
    photo = make_photo(1, height, width)
    np.testing.assert_array_equal(
        center_crop(photo, 4), photo[top : top + 4, left : left + 4]
    )


def test_center_crop_refuses_small_photos(make_photo):
    with pytest.raises(ValueError, match=r"at least 16 x 16 .* height 10 and width 20"):
        center_crop(make_photo(0, 10, 20), 16)


def test_random_crop_is_a_window_and_reaches_every_position(make_photo):
    photo = make_photo(2, 6, 7)
    positions = set()
    for seed in range(300):
        crop = random_crop(photo, 4, np.random.default_rng(seed))
        top, left = int(crop[0, 0, 0]) // 3, int(crop[0, 0, 1]) // 3
        np.testing.assert_array_equal(crop, photo[top : top + 4, left : left + 4])
        positions.add((top, left))
    assert positions == {(top, left) for top in range(3) for left in range(4)}


def test_random_crop_enlarges_small_photos(make_photo):
    photo = make_photo(2, 10, 25)
    enlarged = Image.fromarray(photo).resize((40, 16), Image.Resampling.BICUBIC)
    enlarged = np.asarray(enlarged)
    crop = random_crop(photo, 16, np.random.default_rng(0))
    assert crop.shape == (16, 16, 3)
    assert any(
        np.array_equal(crop, enlarged[:, left : left + 16]) for left in range(25)
    )
