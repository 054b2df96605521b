"""The Fréchet distance between two sets of photos, measured in features.

Features are rows `(n, d)`. This library takes them from VGG19, and the number is to be
called "Fréchet distance of VGG19 features": the name FID belongs to one layer of one
Inception network, whose values it does not resemble.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


class FeatureMoments:
    """Count, mean and covariance of features that come in batches, in float64.

    Source:
      Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
      sample variances", 1979.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: np.ndarray | None = None
        self._scatter: np.ndarray | None = None

    @property
    def count(self) -> int:
        """How many rows were counted."""
        return self._count

    @property
    def mean(self) -> np.ndarray:
        """Mean of the features, `(d,)` float64; ValueError if there are none."""
        if self._mean is None:
            raise ValueError("No features were counted, so there is no mean.")
        return self._mean.copy()

    @property
    def covariance(self) -> np.ndarray:
        """Covariance, `(d, d)` float64 with n - 1 in the denominator, like `numpy.cov`.

        ValueError if fewer than two rows were counted.
        """
        if self._count < 2:
            raise ValueError(
                f"{self._count} row(s) of features were counted; a covariance wants at "
                "least 2."
            )
        return self._scatter / (self._count - 1)

    def update(self, features: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Count a batch.

        Args:
          features: `(n, d)`, finite, any real dtype; the same d in every batch.
          mask: `(n,)` bool, False for padding, whose rows are never looked at; None
            counts all.
        """
        features = np.asarray(features)
        if features.ndim != 2:
            raise ValueError(f"features has shape {features.shape}; wanted (n, d).")
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape != features.shape[:1] or mask.dtype != np.bool_:
                raise ValueError(
                    f"mask has shape {mask.shape} and dtype {mask.dtype}; wanted "
                    f"{features.shape[:1]} and bool."
                )
            features = features[mask]
        if not len(features):
            return
        features = features.astype(np.float64)
        if not np.isfinite(features).all():
            raise ValueError(
                "features has nan or infinite values; wanted finite numbers."
            )
        mean = features.mean(axis=0)
        centred = features - mean
        self._add(len(features), mean, centred.T @ centred)

    def _add(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        if not self._count:
            self._count, self._mean, self._scatter = count, mean, scatter
            return
        if mean.shape != self._mean.shape:
            raise ValueError(
                f"features has {mean.size} columns; wanted {self._mean.size} like "
                "those before."
            )
        total = self._count + count
        apart = mean - self._mean
        between = np.outer(apart, apart) * (self._count / total * count)
        self._scatter = self._scatter + scatter + between
        self._mean = self._mean + apart * (count / total)
        self._count = total

    def merge(self, other: "FeatureMoments") -> "FeatureMoments":
        """The moments of the rows of both, as if counted by one."""
        both = FeatureMoments()
        for part in (self, other):
            if part._count:
                both._add(part._count, part._mean, part._scatter)
        return both


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    # Fewer photos than features: many eigenvalues are 0, some by rounding below it.
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def frechet_distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """Fréchet distance of two Gaussians with the moments of two sets of features.

        |mean_a - mean_b|² + trace(A + B - 2 · (A · B)^½)

    With n photos the covariances are estimates, and their errors add up: the distance
    of two halves of one set is above 0, by more the fewer photos there are and the
    longer the features. Compare only values with equally many photos, of the same size
    and through the same weights; below several times d photos they say little.

    Args:
      a: moments of at least two rows of features.
      b: moments of as long features, at least two rows.

    Returns:
      The distance in squared units of the features, at least 0; 0 for equal moments.

    Source:
      Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, "GANs trained by a two
      time-scale update rule converge to a local Nash equilibrium", 2017, equation 6.
      The trace of the root is taken as the sum of the singular values of A^½ · B^½,
      which is the same number, stays real and holds for covariances of any rank.
    """
    for name, moments in (("a", a), ("b", b)):
        if moments.count < 2:
            raise ValueError(
                f"{name} has {moments.count} row(s) of features; wanted at least 2."
            )
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"a has features of length {a.mean.size} and b of length {b.mean.size}; "
            "wanted equal lengths."
        )
    covariance_a, covariance_b = a.covariance, b.covariance
    product = _square_root(covariance_a) @ _square_root(covariance_b)
    root_trace = np.linalg.svd(product, compute_uv=False).sum()
    traces = np.trace(covariance_a) + np.trace(covariance_b)
    distance = np.square(a.mean - b.mean).sum() + traces - 2.0 * root_trace
    return max(0.0, float(distance))


def spatial_mean_features(
    extract: Callable[[jax.Array], jax.Array],
) -> Callable[[jax.Array], jax.Array]:
    """Turn feature maps into one row of features an image.

    Args:
      extract: images `(n, height, width, 3)` to maps `(n, h, w, c)`, for instance one
        layer of VGG19.

    Returns:
      Images to `(n, c)` float32, the mean of each map over its places; can be compiled
      if `extract` can.
    """

    def features(images: jax.Array) -> jax.Array:
        maps = jnp.asarray(extract(images))
        if maps.ndim != 4:
            raise ValueError(
                f"extract returned the shape {maps.shape}; wanted (n, h, w, c)."
            )
        return jnp.mean(maps.astype(jnp.float32), axis=(1, 2))

    return features
