"""Squares of pixels as channels."""

import numpy as np

from vgg_unpool_jax.ops.blocks import (
    blocks_to_channels,
    channels_to_blocks,
    repeat_pixels,
)


def test_blocks_and_back():
    images = np.arange(2 * 6 * 9 * 2.0).reshape(2, 6, 9, 2)
    blocks = blocks_to_channels(images, 3)
    np.testing.assert_array_equal(blocks[0, 0, 1, :2], images[0, 0, 3])
    np.testing.assert_array_equal(channels_to_blocks(blocks, 3), images)
    repeated = repeat_pixels(images, 3)
    np.testing.assert_array_equal(repeated[:, 1::3, 2::3], images)
    np.testing.assert_array_equal(repeated, np.kron(images, np.ones((1, 3, 3, 1))))
