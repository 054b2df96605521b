"""Squares of pixels as channels and back, and pixels repeated as squares.

The functions of blocks take arrays of JAX and of NumPy.
"""

import jax
import jax.numpy as jnp


def blocks_to_channels(images, size: int):
    """(n, h, w, c) to (n, h / size, w / size, size² c), row by row, channels last."""
    n, height, width, c = images.shape
    blocks = images.reshape(n, height // size, size, width // size, size, c)
    shape = (n, height // size, width // size, size * size * c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(shape)


def channels_to_blocks(arrays, size: int):
    """The inverse of `blocks_to_channels`."""
    n, height, width, channels = arrays.shape
    c = channels // size**2
    blocks = arrays.reshape(n, height, width, size, size, c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * size, width * size, c)


def repeat_pixels(images: jax.Array, factor: int) -> jax.Array:
    """(n, h, w, c) to (n, h factor, w factor, c), by the nearest pixel."""
    return jnp.repeat(jnp.repeat(images, factor, axis=1), factor, axis=2)
