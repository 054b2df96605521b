"""Padding to a multiple."""

import numpy as np
import pytest

from vgg_unpool_jax.ops.padding import pad_to_multiple


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (9, 40)])
def test_reflects_at_the_bottom_and_right_as_numpy(size):
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    pads = [(-side) % 16 for side in size]
    expected = np.pad(images, ((0, 0), (0, pads[0]), (0, pads[1]), (0, 0)), "reflect")
    padded = pad_to_multiple(images, 16)
    np.testing.assert_array_equal(padded, expected)
    assert padded.shape[1] % 16 == padded.shape[2] % 16 == 0


def test_a_side_smaller_than_its_padding_is_reflected_again_and_again():
    images = np.arange(3.0, dtype=np.float32).reshape(1, 3, 1, 1)
    padded = pad_to_multiple(images, 8)
    np.testing.assert_array_equal(
        padded[0, :, 0, 0], np.pad(images[0, :, 0, 0], (0, 5), "reflect")
    )


def test_one_pixel_is_repeated():
    padded = pad_to_multiple(np.full((1, 1, 1, 3), 5.0, np.float32), 4)
    np.testing.assert_array_equal(padded, np.full((1, 4, 4, 3), 5.0))
