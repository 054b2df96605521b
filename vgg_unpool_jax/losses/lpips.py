"""LPIPS: weighted differences of normalised features of a network.

Source: Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep
features as a perceptual metric", CVPR 2018, equation 1; constants of version 0.1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vgg_unpool_jax.losses.checks import require_matching

_EPSILON = 1e-10


def lpips_maps(
    features_a: Sequence[jax.Array],
    features_b: Sequence[jax.Array],
    heads: Sequence[jax.Array],
) -> list[jax.Array]:
    """The distance at every position of each layer.

    Args:
      features_a: of one batch of images, (n, h, w, c) of each layer, any float dtype.
      features_b: of the other batch, the same shapes.
      heads: coefficients (c,) of the channels of each layer, at least 0.

    Returns:
      (n, h, w) float32 of each layer, at least 0.
    """
    maps = []
    for a, b, head in zip(features_a, features_b, heads, strict=True):
        a, b = require_matching(a, b, names=("features_a", "features_b"))
        difference = _unit_length(a) - _unit_length(b)
        maps.append(jnp.square(difference) @ jnp.asarray(head, jnp.float32))
    return maps


def lpips(
    features_a: Sequence[jax.Array],
    features_b: Sequence[jax.Array],
    heads: Sequence[jax.Array],
) -> jax.Array:
    """The distance of each pair of images: spatial means, summed over layers.

    Args:
      features_a: of one batch of images, (n, h, w, c) of each layer, any float dtype.
      features_b: of the other batch, the same shapes.
      heads: coefficients (c,) of the channels of each layer, at least 0.

    Returns:
      (n,) float32 without unit, at least 0; 0 for equal features.
    """
    maps = lpips_maps(features_a, features_b, heads)
    return sum(jnp.mean(values, axis=(1, 2)) for values in maps)


def _unit_length(features: jax.Array) -> jax.Array:
    squares = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
    # Where all features are zero, the root's gradient is infinite and times 0 is NaN.
    positive = squares > 0
    length = jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)
    return features / (length + _EPSILON)
