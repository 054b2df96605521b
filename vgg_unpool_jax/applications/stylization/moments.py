"""Mean and covariance of features, region by region, tile by tile.

Feature transforms know the content and the style by these two moments alone. They are
sums over places, so those of a large photo are merged from its tiles. Each tile is
centred on its own mean before it is squared: raw VGG19 features have means of up to
hundreds of times their deviation, and E[x²] - E[x]² loses that many digits in float32.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_EXACT = jax.lax.Precision.HIGHEST


class Moments(NamedTuple):
    """The first two moments of features in each of r regions.

    Attributes:
      weight: (r,) number of places; fractions where a region is soft.
      mean: (r, c).
      covariance: (r, c, c), divided by the weight (not by one less).
    """

    weight: jax.Array | np.ndarray
    mean: jax.Array | np.ndarray
    covariance: jax.Array | np.ndarray


@jax.jit
def measure_moments(features: jax.Array, weights: jax.Array) -> Moments:
    """Mean and covariance in each region of one photo or tile.

    Args:
      features: (h, w, c).
      weights: (r, h, w) of the places in each region, from 0 to 1.

    Returns:
      Moments of r regions; zeros for one without weight.
    """
    check_weights(features.shape, weights.shape)
    flat = features.reshape(-1, features.shape[-1]).astype(jnp.float32)

    def of_one(weight):
        weight = weight.reshape(-1).astype(jnp.float32)
        total = jnp.sum(weight)
        share = weight / jnp.where(total > 0.0, total, 1.0)
        mean = jnp.matmul(share, flat, precision=_EXACT)
        centred = (flat - mean) * jnp.sqrt(share)[:, None]
        # What rounding has left of the mean, squared, is taken off again.
        rest = jnp.matmul(jnp.sqrt(share), centred, precision=_EXACT)
        covariance = jnp.matmul(centred.T, centred, precision=_EXACT)
        covariance = covariance - jnp.outer(rest, rest)
        return Moments(total, mean + rest * (total > 0.0), covariance)

    # One region after another: memory is that of one.
    return jax.lax.map(of_one, weights)


def check_weights(features_shape, weights_shape) -> None:
    """Raise `ValueError` unless weights (r, h, w) fit features (h, w, c)."""
    if len(features_shape) != 3 or 0 in features_shape:
        raise ValueError(
            f"features must have shape (height, width, channels), got {features_shape}"
        )
    if len(weights_shape) != 3 or tuple(weights_shape[1:]) != features_shape[:2]:
        raise ValueError(
            f"weights must have shape (regions, {features_shape[0]}, "
            f"{features_shape[1]}), got {tuple(weights_shape)}"
        )


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Moments of all places from those of two parts, in float64 on the host.

    Args:
      first: of r regions with c channels.
      second: of the same regions in the other part.

    Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for
    computing sample variances".
    """
    merged = Moments(*(np.array(array, np.float64) for array in first))
    # One region after another, and only those of the second part: a tile has few of
    # the regions of a mask.
    for region in np.flatnonzero(np.asarray(second.weight) > 0.0):
        weight, mean, covariance = (np.float64(array[region]) for array in second)
        total = merged.weight[region] + weight
        share = weight / total
        step = mean - merged.mean[region]
        merged.weight[region] = total
        merged.mean[region] += share * step
        merged.covariance[region] *= 1.0 - share
        merged.covariance[region] += share * covariance
        merged.covariance[region] += share * (1.0 - share) * np.outer(step, step)
    return merged


def merge_all(parts: list[Moments]) -> Moments:
    """Moments of all places from those of one or more parts, float32."""
    merged = functools.reduce(merge_moments, parts)
    return Moments(*(np.asarray(array, np.float32) for array in merged))


def merge_regions(moments: Moments) -> Moments:
    """Moments of all regions taken together, as one region."""
    parts = [
        Moments(*(np.asarray(array)[index : index + 1] for array in moments))
        for index in range(len(moments.weight))
    ]
    return merge_all(parts)
