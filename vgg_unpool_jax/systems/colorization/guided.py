"""Chroma that follows the edges of the luminance.

Source: He and Sun, "Fast Guided Filter", 2015: chroma is a linear function of the
luminance in each window; its coefficients are computed at a low resolution, and applied
to the luminance at full resolution.
"""

import jax
import jax.numpy as jnp

_RADIUS, _EPSILON = 2, 4.0  # in positions, and in squared units of L


def upsample_chroma(ab: jax.Array, luminance: jax.Array) -> jax.Array:
    """Chroma at the size of the luminance.

    Args:
      ab: (n, h, w, 2).
      luminance: (n, H, W, 1) in [0, 100].

    Returns:
      (n, H, W, 2).
    """
    n, height, width, channels = ab.shape
    low = jax.image.resize(luminance, (n, height, width, 1), "linear")
    mean, mean_ab = _window_mean(low), _window_mean(ab)
    covariance = _window_mean(low * ab) - mean * mean_ab
    variance = _window_mean(low * low) - mean * mean
    slope = covariance / (variance + _EPSILON)
    offset = mean_ab - slope * mean
    shape = (*luminance.shape[:3], channels)
    slope, offset = (
        jax.image.resize(_window_mean(array), shape, "linear")
        for array in (slope, offset)
    )
    return slope * luminance + offset


def _window_mean(arrays: jax.Array) -> jax.Array:
    size = 2 * _RADIUS + 1
    pads = [(0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)]
    padded = jnp.pad(arrays, pads, mode="edge")
    total = jax.lax.reduce_window(
        padded, 0.0, jax.lax.add, (1, size, size, 1), (1, 1, 1, 1), "valid"
    )
    return total / size**2
