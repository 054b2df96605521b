"""The correlation of reconstructions with their originals.

Images are NHWC. A correlation does not change when both images are scaled and shifted,
so it is the same for pixels in [0, 255] and in [-1, 1].
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.losses.checks import require_matching


def photo_pcc(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Pearson correlation coefficient of each photo over its pixels and channels.

    Not the coefficient that is published for whole sets, which `set_correlation`
    measures: within one photo the differences between photos do not count.

    Args:
      predictions: images `(n, height, width, channels)`.
      targets: images of the same shape.

    Returns:
      `(n,)` float32 without unit, in [-1, 1]. A photo without any contrast, on either
      side, correlates with nothing: its value is 0, so that a mean over photos exists.

    Source:
      Pearson, "Notes on regression and inheritance in the case of two parents", 1895.
    """
    moments = photo_pair_moments(predictions, targets)
    variance_x, variance_y, covariance = moments[:, 2], moments[:, 3], moments[:, 4]
    norms = jnp.sqrt(variance_x) * jnp.sqrt(variance_y)
    flat = norms == 0.0
    found = jnp.where(flat, 0.0, covariance / jnp.where(flat, 1.0, norms))
    return jnp.clip(found, -1.0, 1.0)


def photo_pair_moments(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Five numbers per photo from which `set_correlation` makes that of the set.

    For compiled steps, which keep small arrays of each photo but no images. In float32,
    with which the correlation has six correct digits.

    Args:
      predictions: images `(n, height, width, channels)`.
      targets: images of the same shape.

    Returns:
      `(n, 5)` float32 over the pixels and channels of a photo: mean of the prediction,
      mean of the target, their variances in this order, their covariance.
    """
    predictions, targets = require_matching(predictions, targets)
    (mean_x, x), (mean_y, y) = _centre(predictions), _centre(targets)
    pairs = (x * x, y * y, x * y)
    return jnp.stack([mean_x, mean_y, *(jnp.mean(p, (1, 2, 3)) for p in pairs)], axis=1)


def _centre(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean of each photo `(n,)`, and the photos without it."""
    # Without its first value a flat photo is exactly 0; the rounding of its mean would
    # otherwise leave a tiny constant behind, and that correlates perfectly.
    first = images[:, :1, :1, :1]
    images = images - first
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return (first + mean)[:, 0, 0, 0], images - mean


def set_correlation(moments: np.ndarray) -> float:
    """One Pearson correlation over all values of all photos, in float64 on the host.

    Every value of every channel of every photo is one pair, and the two means are over
    the whole set, as for one array of all values.

    Args:
      moments: `(n, 5)` of photos of one size, from `photo_pair_moments`.

    Returns:
      A number in [-1, 1]. nan where it is undefined, because all predictions or all
      targets are one and the same value, and where a value was nan or infinite.

    Source:
      Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
      sample variances", 1979, for variances from those of groups.
    """
    moments = np.asarray(moments, np.float64)
    if moments.ndim != 2 or moments.shape[1] != 5 or not len(moments):
        raise ValueError(f"moments has shape {moments.shape}; expected (n, 5)")
    if not np.isfinite(moments).all():
        return math.nan
    x, y = (moments[:, :2] - moments[:, :2].mean(axis=0)).T
    variance_x, variance_y, covariance = (
        float(np.mean(within + between))
        for within, between in zip(moments[:, 2:].T, (x * x, y * y, x * y), strict=True)
    )
    if 0.0 in (variance_x, variance_y):
        return math.nan
    found = covariance / (math.sqrt(variance_x) * math.sqrt(variance_y))
    return min(1.0, max(-1.0, found))
