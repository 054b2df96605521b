"""Statistics of the latent space of a variational autoencoder.

A posterior is a Gaussian with independent dimensions, given by its mean and the natural
logarithm of its variance, each `(n, dimensions)` for n photos; the prior is the
standard normal distribution.
"""

import dataclasses
import math
from typing import Any

import numpy as np

# Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016,
# section 5.2; they chose it because the variances are far from it on both sides.
ACTIVE_VARIANCE = 0.01
_PERPLEXITY = 30.0


@dataclasses.dataclass(frozen=True)
class LatentStatistics:
    """Statistics of the posteriors of a set of photos, each array `(dimensions,)`.

    Attributes:
      photos: how many photos.
      kl: Kullback-Leibler divergence from the prior in nats, mean over photos.
      variance_of_means: variance over photos of the posterior's mean, with n in the
        denominator; 0 for one photo.
      aggregate_mean: mean of the aggregate posterior, the mixture of all posteriors.
      aggregate_variance: its variance; 1 where it matches the prior.
    """

    photos: int
    kl: np.ndarray
    variance_of_means: np.ndarray
    aggregate_mean: np.ndarray
    aggregate_variance: np.ndarray

    @property
    def total_kl(self) -> float:
        """Sum of the divergence over all dimensions in nats per photo."""
        return float(self.kl.sum())

    @property
    def active(self) -> np.ndarray:
        """Which dimensions change with the photo, bool `(dimensions,)`."""
        return self.variance_of_means > ACTIVE_VARIANCE

    @property
    def active_units(self) -> int:
        """How many dimensions have means with a variance above 0.01."""
        return int(self.active.sum())

    def by_kl(self) -> np.ndarray:
        """The dimensions' numbers, the one with the largest divergence first."""
        return np.argsort(-self.kl, kind="stable")

    def scalars(self) -> dict[str, float]:
        """Three numbers for a log.

        Returns:
          `kl` (nats per photo, all dimensions), `active_units` and
          `kl_largest_dimension` (nats, the divergence of the largest dimension).
        """
        return {
            "kl": self.total_kl,
            "active_units": float(self.active_units),
            "kl_largest_dimension": float(self.kl.max()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything in numbers and lists, ready for `write_results`."""
        return {
            "photos": self.photos,
            "dimensions": len(self.kl),
            "kl": self.total_kl,
            "active_units": self.active_units,
            "kl_per_dimension": self.kl.tolist(),
            "variance_of_means": self.variance_of_means.tolist(),
            "aggregate_mean": self.aggregate_mean.tolist(),
            "aggregate_variance": self.aggregate_variance.tolist(),
        }


def _rows(array: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; expected (n, dimensions), not empty."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has nan or infinite values; expected finite numbers.")
    return array


def latent_statistics(means: np.ndarray, log_variances: np.ndarray) -> LatentStatistics:
    """Statistics of the posteriors of all photos of a set.

    Args:
      means: means of the posteriors, `(n, dimensions)`.
      log_variances: natural logarithms of their variances, of the same shape.

    Returns:
      The statistics, computed in float64.

    Source:
      The divergence is that of Kingma and Welling, "Auto-encoding variational Bayes",
      2014, appendix B; that of active units is at `ACTIVE_VARIANCE`.
    """
    means = _rows(means, "means")
    log_variances = _rows(log_variances, "log_variances")
    if means.shape != log_variances.shape:
        raise ValueError(
            f"means has shape {means.shape} and log_variances has shape "
            f"{log_variances.shape}; expected equal shapes."
        )
    # A logarithm above 709 gives an infinite variance, which needs no warning.
    with np.errstate(over="ignore"):
        # exp(v) - 1 - v without the 1, which would cost the digits of a small v.
        spread = np.expm1(log_variances) - log_variances
        variances = np.exp(log_variances)
        kl = 0.5 * (np.square(means) + spread).mean(axis=0)
    variance_of_means = means.var(axis=0)
    return LatentStatistics(
        photos=len(means),
        kl=kl,
        variance_of_means=variance_of_means,
        aggregate_mean=means.mean(axis=0),
        aggregate_variance=variances.mean(axis=0) + variance_of_means,
    )


def calibrate(
    half_squared_error: float, kl: float, num_values: int
) -> tuple[float, float]:
    """The ELBO with the standard deviation of p(x|z) that fits the photos best.

    It makes runs comparable that were trained with different standard deviations.

    Args:
      half_squared_error: mean over photos of half the sum of squared errors of drawn
        codes, on the scale of [-1, 1].
      kl: mean over photos of the divergence from the prior, in nats.
      num_values: number of values of a photo, height · width · channels.

    Returns:
      The standard deviation, on the scale of [-1, 1], and the ELBO in nats per photo,
      which is infinite if there is no error.

    Source:
      Rybkin, Daniilidis and Levine, "Simple and effective VAE training with calibrated
      decoders", 2021.
    """
    variance = 2.0 * float(half_squared_error) / num_values
    if not variance:
        return 0.0, math.inf
    log_likelihood = -0.5 * num_values * (math.log(2 * math.pi * variance) + 1.0)
    return math.sqrt(variance), log_likelihood - float(kl)


def embed_tsne(means: np.ndarray, seed: int) -> np.ndarray:
    """Lay the photos out in the plane, close latents close together.

    Distances between groups and the sizes of groups have no meaning. One thread needs 3
    s for 600 photos; the time grows slightly faster than their number.

    Args:
      means: means of the posteriors, `(n, dimensions)`, at least four rows.
      seed: the same seed gives the same layout.

    Returns:
      `(n, 2)` float32 without unit.

    Source:
      van der Maaten and Hinton, "Visualizing data using t-SNE", 2008; perplexity 30,
      for fewer than 91 photos a third of their number.
    """
    means = _rows(means, "means")
    count, dimensions = means.shape
    if count < 4:
        raise ValueError(
            f"means has shape {means.shape}; t-SNE needs at least 4 rows, for fewer "
            "there is nothing to lay out."
        )
    # Imported here, because it takes seconds and few programs need it.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # a requirement of scikit-learn

    # Principal components need two directions in which the points differ.
    spread_out = dimensions > 1 and np.linalg.matrix_rank(means - means[0]) > 1
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (count - 1) / 3.0),
        init="pca" if spread_out else "random",
        learning_rate="auto",
        random_state=seed,
    )
    # OpenMP's threads wait by spinning. Beside the threads of a training run two of
    # them are 13 times slower than one: 35 s against 2.7 s for 600 photos on two busy
    # cores.
    with threadpool_limits(limits=1):
        return np.asarray(tsne.fit_transform(means.astype(np.float32)), np.float32)
