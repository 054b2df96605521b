"""Square grids and strips of photos."""

import numpy as np
import pytest

from vgg_unpool_jax.evaluation.pictures import enlarge, square_grid, strip


def shades(n, size=(3, 5)):
    images = np.empty((n, *size, 3), np.float32)
    images[:] = 10.0 * np.arange(n)[:, None, None, None]
    return images


@pytest.mark.parametrize(
    ("n", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (5, 2, 3), (25, 5, 5)],
)
def test_a_grid_is_filled_row_by_row_and_as_square_as_possible(n, rows, columns):
    grid = square_grid(shades(n), scale=2, padding=1)
    assert grid.dtype == np.uint8
    assert grid.shape == (rows * 7 + 1, columns * 11 + 1, 3)
    for i in range(n):
        top, left = 1 + i // columns * 7, 1 + i % columns * 11
        part = grid[top : top + 6, left : left + 10]
        assert np.all(part == 10 * i)
        part[:] = 255
    assert np.all(grid == 255)  # nothing but white is left


def test_a_strip_is_one_row():
    row = strip(shades(3), scale=2, padding=1)
    assert row.shape == (6, 3 * 10 + 2, 3)
    assert row[0, :, 0].tolist() == [0] * 10 + [255] + [10] * 10 + [255] + [20] * 10


def test_enlarging_repeats_each_pixel():
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    large = enlarge(image, 3)
    assert large.shape == (1, 6, 6, 3) and large.dtype == np.uint8
    np.testing.assert_array_equal(large, np.kron(image, np.ones((1, 3, 3, 1))))
    np.testing.assert_array_equal(enlarge(image, 1), image)


def test_values_are_clipped_and_rounded_and_the_input_is_kept():
    images = np.array([[[[-9.0, 0.6, 300.0]]]])
    assert square_grid(images, padding=0).tolist() == [[[0, 1, 255]]]
    assert strip(images).tolist() == [[[0, 1, 255]]]
    assert images.ravel().tolist() == [-9.0, 0.6, 300.0]
