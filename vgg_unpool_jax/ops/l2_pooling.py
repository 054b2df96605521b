"""L2 pooling: the root of a smoothed and subsampled square."""

import jax
import jax.numpy as jnp

# The inner taps of a Hann window of five points, of sum 1.
_TAPS = (0.25, 0.5, 0.25)
# Under the root, so that the gradient is finite where everything is zero.
_EPSILON = 1e-12


def l2_pool(images: jax.Array) -> jax.Array:
    """Root of the weighted mean square over windows of 3×3, with stride 2.

    Args:
      images: (n, h, w, c), any float dtype.

    Returns:
      (n, ceil(h / 2), ceil(w / 2), c) in the dtype of `images`, at least 1e-6; beyond
      the border are zeros. Squares and sums are float32.

    Source:
      Ding, Ma, Wang and Simoncelli, "Image quality assessment: unifying structure and
      texture similarity", arXiv 2004.07728, equation 2, with the constant of the
      authors' program.
    """
    squares = jnp.square(images.astype(jnp.float32))
    for axis in (1, 2):
        squares = _smooth_and_halve(squares, axis)
    return jnp.sqrt(squares + _EPSILON).astype(images.dtype)


def _smooth_and_halve(arrays: jax.Array, axis: int) -> jax.Array:
    length = arrays.shape[axis]
    kept = -(-length // 2)
    margins = [(0, 0)] * arrays.ndim
    margins[axis] = (1, 1)
    padded = jnp.pad(arrays, margins)
    return sum(
        tap * jax.lax.slice_in_dim(padded, k, k + 2 * kept - 1, stride=2, axis=axis)
        for k, tap in enumerate(_TAPS)
    )
