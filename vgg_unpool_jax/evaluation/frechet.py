"""The Fréchet distance between two sets of photos, measured in features.

Features are rows `(n, d)`. This library takes them from VGG19, and the number is to be
called "Fréchet distance of VGG19 features": the name FID belongs to one layer of one
Inception network, whose values it does not resemble.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    # Fewer photos than features: many eigenvalues are 0, some by rounding below it.
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of two Gaussians with the moments of two sets of features.

        |mean_a - mean_b|² + trace(A + B - 2 · (A · B)^½)

    With n photos the covariances are estimates, and their errors add up: the distance
    of two halves of one set is above 0, by more the fewer photos there are and the
    longer the features. Compare only values with equally many photos, of the same size
    and through the same weights; below several times d photos they say little.

    Args:
      a: finite rows of features `(n, d)`, at least two.
      b: as long rows, at least two.

    Returns:
      The distance in squared units of the features, at least 0; 0 for equal moments.

    Source:
      Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, "GANs trained by a two
      time-scale update rule converge to a local Nash equilibrium", 2017, equation 6.
      The trace of the root is taken as the sum of the singular values of A^½ · B^½,
      which is the same number, stays real and holds for covariances of any rank.
    """
    a, b = (np.asarray(rows, np.float64) for rows in (a, b))
    for name, rows in (("a", a), ("b", b)):
        if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] != a.shape[1]:
            raise ValueError(
                f"{name} has shape {rows.shape}; expected (n, {a.shape[-1]}) with at "
                "least two rows"
            )
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} has nan or infinite values")
    covariance_a, covariance_b = (
        np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (a, b)
    )
    product = _square_root(covariance_a) @ _square_root(covariance_b)
    root_trace = np.linalg.svd(product, compute_uv=False).sum()
    traces = np.trace(covariance_a) + np.trace(covariance_b)
    apart = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return max(0.0, float(apart + traces - 2.0 * root_trace))


def spatial_mean_features(
    extract: Callable[[jax.Array], jax.Array],
) -> Callable[[jax.Array], jax.Array]:
    """Reduce feature maps to one row of features per image.

    Args:
      extract: images `(n, height, width, 3)` to maps `(n, h, w, c)`, for instance one
        layer of VGG19.

    Returns:
      Images to `(n, c)` float32, the mean of each map over its positions; can be
      compiled if `extract` can.
    """

    def features(images: jax.Array) -> jax.Array:
        maps = jnp.asarray(extract(images))
        if maps.ndim != 4:
            raise ValueError(
                f"extract returned the shape {maps.shape}; expected (n, h, w, c)."
            )
        return jnp.mean(maps.astype(jnp.float32), axis=(1, 2))

    return features
