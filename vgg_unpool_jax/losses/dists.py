"""DISTS: structure and texture similarity of feature maps.

Source: Ding, Ma, Wang and Simoncelli, "Image quality assessment: unifying structure and
texture similarity", arXiv 2004.07728, equations 4 to 6; constants of the authors'
program.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vgg_unpool_jax.losses.checks import require_matching

_C1 = 1e-6
_C2 = 1e-6


def dists(
    features_a: Sequence[jax.Array],
    features_b: Sequence[jax.Array],
    alpha: Sequence[jax.Array],
    beta: Sequence[jax.Array],
) -> jax.Array:
    """The distance of each pair of images.

    With x, y the maps of a channel and d = x - y, the two terms of the paper are

        1 - l(x, y) = mean(d)² / (mean(x)² + mean(y)² + c1)
        1 - s(x, y) = var(d) / (var(x) + var(y) + c2)

    in which equal images give exactly 0.

    Args:
      features_a: of one batch of images, (n, h, w, c) of each layer, any float dtype;
        the first layer are the images on the scale of [0, 1].
      features_b: of the other batch, the same shapes.
      alpha: coefficients (c,) of the means of each layer, at least 0.
      beta: coefficients (c,) of the variances; those of alpha and beta are divided by
        the sum of all.

    Returns:
      (n,) float32 without unit, at least 0; 0 for equal features.
    """
    total = sum(jnp.sum(coefficients) for coefficients in (*alpha, *beta))
    distance = 0.0
    for x, y, a, b in zip(features_a, features_b, alpha, beta, strict=True):
        x, y = require_matching(x, y, names=("features_a", "features_b"))
        mean_x, mean_y = (jnp.mean(maps, axis=(1, 2), keepdims=True) for maps in (x, y))
        x, y = x - mean_x, y - mean_y
        var_x, var_y, var_d = (
            jnp.mean(jnp.square(maps), axis=(1, 2)) for maps in (x, y, x - y)
        )
        mean_x, mean_y = mean_x[:, 0, 0], mean_y[:, 0, 0]
        squares = jnp.square(mean_x) + jnp.square(mean_y)
        means = jnp.square(mean_x - mean_y) / (squares + _C1)
        distance = distance + means @ a + (var_d / (var_x + var_y + _C2)) @ b
    return distance / total
