"""Differences between features of a network."""

import jax
import jax.numpy as jnp

from vgg_unpool_jax.losses.checks import require_matching


def perceptual(
    features_of_predictions: jax.Array, features_of_targets: jax.Array
) -> jax.Array:
    """Mean squared difference between the features of two batches of images.

    The caller runs the encoder, so that the features of the input are computed once for
    the decoder and for this loss. The gradient flows into both arguments; wrap the
    targets in `jax.lax.stop_gradient` if they depend on trained parameters.

    Args:
      features_of_predictions: `(n, height, width, channels)`, any float dtype.
      features_of_targets: the same shape.

    Returns:
      Float32 scalar in squared units of the features, at least 0 and unbounded above.

    Source:
      Feature reconstruction loss of Johnson, Alahi and Fei-Fei, "Perceptual losses
      for real-time style transfer and super-resolution", ECCV 2016, equation 2.
    """
    predictions, targets = require_matching(
        features_of_predictions,
        features_of_targets,
        names=("features_of_predictions", "features_of_targets"),
    )
    return jnp.mean(jnp.square(predictions - targets))
