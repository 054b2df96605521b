"""Differences between pixels.

Images are float32 NHWC RGB in [0, 255]; losses are float32 scalars, means over
the batch.
"""

import jax
import jax.numpy as jnp

from vgg_unpool_jax.losses.checks import require_matching


def l1(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean absolute difference; its gradient is 0 where a pixel equals its target.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      Scalar in grey levels, 0 for equal images, at most 255 for images in range.
    """
    predictions, targets = require_matching(predictions, targets)
    difference = predictions - targets
    # The gradient of jnp.abs at 0 is 1; that of the product is 0, as at an optimum.
    return jnp.mean(difference * jnp.sign(difference))


def l2(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean squared difference.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      Scalar in squared grey levels, 0 for equal images, at most 255² for images in
      range.
    """
    predictions, targets = require_matching(predictions, targets)
    return jnp.mean(jnp.square(predictions - targets))
