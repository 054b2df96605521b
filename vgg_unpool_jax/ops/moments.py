"""Count, mean and covariance of samples, weighted and merged from parts.

Samples are rows of c numbers. Each part is centred on its own mean before it is
squared: raw VGG19 features have means of up to hundreds of times their deviation, and
E[x²] - E[x]² loses that many digits.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_EXACT = jax.lax.Precision.HIGHEST


class Moments(NamedTuple):
    """The first two moments of samples; leading axes are independent sets.

    Attributes:
      count: (...,) number of samples; fractions where samples have weights.
      mean: (..., c).
      covariance: (..., c, c), divided by the count (not by one less).
    """

    count: jax.Array | np.ndarray
    mean: jax.Array | np.ndarray
    covariance: jax.Array | np.ndarray


@jax.jit
def measure_sets(samples: jax.Array, weights: jax.Array) -> Moments:
    """Moments of several weighted sets of the same samples, in float32 on the device.

    Args:
      samples: (n, c).
      weights: (r, n), non-negative: the weight of each sample in each set.

    Returns:
      Moments of r sets; zeros for one without any weight.
    """
    samples = samples.astype(jnp.float32)

    def of_one(weight):
        count = jnp.sum(weight)
        share = weight / jnp.where(count > 0.0, count, 1.0)
        mean = jnp.matmul(share, samples, precision=_EXACT)
        centred = (samples - mean[None]) * jnp.sqrt(share)[:, None]
        # The rounding error of the mean, squared, is subtracted again.
        rest = jnp.matmul(jnp.sqrt(share), centred, precision=_EXACT)
        covariance = jnp.matmul(centred.T, centred, precision=_EXACT)
        covariance = covariance - jnp.outer(rest, rest)
        return Moments(count, jnp.where(count > 0.0, mean + rest, mean), covariance)

    # One set after another: memory is that of one.
    return jax.lax.map(of_one, weights.astype(jnp.float32))


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Moments of the samples of two parts together, in float64 on the host.

    Args:
      first: moments with any leading axes.
      second: of the other part, with the same shapes.

    Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for
    computing sample variances".
    """
    merged = Moments(*(np.array(array, np.float64) for array in first))
    # One set after another, and only those of the second part: a tile has few of the
    # regions of a mask, and covariances of 200 regions are large.
    for index in np.ndindex(merged.count.shape):
        count, mean, covariance = (
            np.asarray(array[index], np.float64) for array in map(np.asarray, second)
        )
        if count <= 0.0:
            continue
        total = merged.count[index] + count
        share = count / total
        step = mean - merged.mean[index]
        merged.count[index] = total
        merged.mean[index] += share * step
        merged.covariance[index] *= 1.0 - share
        merged.covariance[index] += share * covariance
        merged.covariance[index] += share * (1.0 - share) * np.outer(step, step)
    return merged


def merge_sets(moments: Moments) -> Moments:
    """Moments of all r sets (r, ...) together, as one set (1, ...), float32."""
    sets = [
        Moments(*(np.asarray(array)[index : index + 1] for array in moments))
        for index in range(len(moments.count))
    ]
    merged = sets[0]
    for other in sets[1:]:
        merged = merge_moments(merged, other)
    return to_float32(merged)


def to_float32(moments: Moments) -> Moments:
    """The same moments as float32 arrays on the host."""
    return Moments(*(np.asarray(array, np.float32) for array in moments))
