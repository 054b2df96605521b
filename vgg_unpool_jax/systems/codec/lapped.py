"""Blocks that overlap: a filter across the borders of blocks before their transform.

A linear transform of blocks with such a filter in front of it, and its inverse behind
the inverse transform, works on overlapping blocks: smooth areas and edges cost less,
and decoded photos have no visible borders of blocks.

Source: Tran, Liang and Tu 2003, "Lapped transform via time-domain pre- and
post-filtering". With blocks of 16 a first-order process of correlation 0.95 has a
coding gain of 9.9 dB, without the filter 9.5, and with blocks of 8 without it 8.8.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Gain of what differs on average between the two sides of a border.
_SCALE = 1.5


def prefilter(size: int) -> np.ndarray:
    """The filter of `size` values, half of them on each side of a border.

    Args:
      size: an even number.

    Returns:
      float64 (size, size), invertible: filtered = matrix @ values.
    """
    half = size // 2
    identity = np.eye(half)
    mirror = identity[::-1]
    gains = np.ones((half, 1))
    gains[0] = _SCALE
    odd = mirror @ _cosines(half, 0.0).T @ (gains * _cosines(half, 0.5)) @ mirror
    zeros = np.zeros_like(odd)
    butterfly = np.block([[identity, mirror], [mirror, -identity]])
    return butterfly @ np.block([[identity, zeros], [zeros, odd]]) @ butterfly / 2


def filter_borders(images: jax.Array, matrix: jax.Array) -> jax.Array:
    """Filter rows and columns across the borders between blocks.

    The border of the whole image is left as it is, so that the inverse matrix undoes
    the filter in each image of whole blocks.

    Args:
      images: (n, h, w, c), sides that are multiples of the size of the matrix.
      matrix: (size, size), the size of a block; see `prefilter`.
    """
    for axis in (1, 2):
        images = _filter_axis(images, matrix, axis)
    return images


def _filter_axis(images, matrix, axis):
    moved = jnp.moveaxis(images, axis, -1)
    size = len(matrix)
    blocks = moved.shape[-1] // size - 1
    if not blocks:
        return images
    half = size // 2
    first, middle, last = jnp.split(moved, [half, moved.shape[-1] - half], axis=-1)
    parts = middle.reshape(*middle.shape[:-1], blocks, size)
    filtered = (parts @ matrix.T).reshape(middle.shape)
    whole = jnp.concatenate([first, filtered, last], axis=-1)
    return jnp.moveaxis(whole, -1, axis)


def _cosines(size: int, offset: float) -> np.ndarray:
    """The orthonormal cosine transform, type II for offset 0 and IV for 1/2."""
    rows = np.arange(size)[:, None] + offset
    matrix = np.cos(np.pi / size * rows * (np.arange(size) + 0.5))
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
