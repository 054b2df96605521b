"""The report of a variational autoencoder, in validation and in `evaluate`.

Besides the usual metrics, per photo and for the whole set: one correlation over all
values (`pcc`), structural similarity with zero padding, mean squared error on the scale
of [0, 1], the ELBO, the divergence of the posterior and its active units; with a VGG19
encoder also Fréchet distances of features. Pictures: samples from the prior,
interpolations, a traversal, the divergence of each dimension, maps of the latent means.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.evaluation.correlation import (
    photo_pair_moments,
    photo_pcc,
    set_correlation,
)
from vgg_unpool_jax.evaluation.frechet import frechet_distance
from vgg_unpool_jax.evaluation.metrics import MetricInfo
from vgg_unpool_jax.evaluation.reports import OUTPUT, TARGET, Report
from vgg_unpool_jax.evaluation.results import format_table
from vgg_unpool_jax.evaluation.statistics import Summary, summarize
from vgg_unpool_jax.losses import gaussian_log_likelihood, kl_to_standard_normal
from vgg_unpool_jax.systems.vae.latents import (
    LatentStatistics,
    calibrate,
    latent_statistics,
)
from vgg_unpool_jax.systems.vae.objective import (
    ERROR,
    LOG_STD,
    LOG_VARIANCE,
    MEAN,
    VAEObjective,
)
from vgg_unpool_jax.systems.vae.padded_ssim import photo_ssim_zero_padded
from vgg_unpool_jax.systems.vae.pictures import draw_latents, draw_tsne, in_batches

# The block of VGG19 for Fréchet distances: it has 256 features, whose covariances can
# be estimated from a thousand photos.
FRECHET_BLOCK = 3
_FRECHET_FEATURES = 256
# Names of the features of targets and outputs among the collected arrays.
_FEATURES = {TARGET: "features_of_target", OUTPUT: "features_of_output"}

# Metrics of each photo among the collected arrays, in the order of tables.
_PHOTO_METRICS = {
    "photo_pcc": MetricInfo("PCC of a photo", "", 4, True, (-1.0, 1.0)),
    "ssim_zero_padded": MetricInfo("SSIM, zero padding", "", 4, True, (-1.0, 1.0)),
    "mse": MetricInfo("MSE on [0, 1]", "", 4, False, (0.0, 1.0)),
    "elbo": MetricInfo("ELBO", "nats", 1, True),
    "log_likelihood": MetricInfo("log p(x|z)", "nats", 1, True),
    "kl": MetricInfo("KL", "nats", 1, None, (0.0, math.inf)),
}


@dataclasses.dataclass(frozen=True)
class _SetNumbers:
    """Numbers of a whole set of photos."""

    pcc: float
    calibrated_elbo: float
    calibrated_std: float
    latents: LatentStatistics


class VAEReport(Report):
    """The report of a VAE; see `evaluation/reports.Report`."""

    # A VAE's errors are large; with the gain of a pair they would all be white.
    error_gain: ClassVar[float] = 2.0

    def __init__(
        self,
        objective: VAEObjective,
        *,
        features: Callable | None = None,
        decode: Callable | None = None,
        samples: int = 25,
        interpolations: int = 3,
        tsne: bool = False,
    ):
        """Keep the options; nothing is compiled yet.

        Args:
          objective: of the VAE.
          features: images (n, s, s, 3) in [0, 255] to feature rows (n, d) for Fréchet
            distances, or None to leave them out.
          decode: with `features`, codes (n, latent_size) to images.
          samples: number of samples from the prior in their picture.
          interpolations: number of walks between photos.
          tsne: whether to lay the photos out by t-SNE, which takes seconds.
        """
        model = objective.model
        self._values, self._latent_size = 3 * model.image_size**2, model.latent_size
        self._features, self._decode_codes = features, decode
        self._samples, self._interpolations = samples, interpolations
        self._tsne = tsne
        # Distances of the latest collected arrays are kept, because they take seconds.
        self._distances = (None, {})
        self._decode = jax.jit(
            lambda variables, codes: model.apply(variables, codes, method="decode")
        )

    def collect(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Posteriors, moments for the correlation, and `_PHOTO_METRICS`."""
        targets, images = outputs[TARGET], jnp.clip(outputs[OUTPUT], 0.0, 255.0)
        error, log_std = outputs[ERROR], outputs[LOG_STD]
        kl = jnp.sum(kl_to_standard_normal(outputs[MEAN], outputs[LOG_VARIANCE]), 1)
        log_likelihood = gaussian_log_likelihood(error, log_std, self._values)
        squares = jnp.square((images - targets) / 255.0)
        collected = {
            MEAN: outputs[MEAN],
            LOG_VARIANCE: outputs[LOG_VARIANCE],
            ERROR: error,
            "moments": photo_pair_moments(images, targets),
            "photo_pcc": photo_pcc(images, targets),
            "ssim_zero_padded": photo_ssim_zero_padded(images, targets),
            "mse": jnp.mean(squares, axis=(1, 2, 3)),
            "elbo": log_likelihood - kl,
            "log_likelihood": log_likelihood,
            "kl": kl,
        }
        if self._features is not None:
            collected[_FEATURES[TARGET]] = self._features(targets)
            collected[_FEATURES[OUTPUT]] = self._features(images)
        return super().collect(outputs) | collected

    def scalars(self, collected: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Published metrics, the calibrated ELBO, those of `LatentStatistics`."""
        numbers = self._numbers(collected)
        return {
            "pcc": numbers.pcc,
            **{
                name: float(np.mean(collected[name], dtype=np.float64))
                for name in ("ssim_zero_padded", "mse", "elbo")
            },
            "calibrated_elbo": numbers.calibrated_elbo,
            "calibrated_std": numbers.calibrated_std,
            **numbers.latents.scalars(),
            **self._frechet(collected),
        }

    def results(
        self, metrics: Mapping[str, Summary], collected: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Results of every system, and the others under "vae"."""
        numbers = self._numbers(collected)
        return {
            **super().results(metrics, collected),
            "vae": {
                "metrics": {
                    name: dataclasses.asdict(entry)
                    for name, entry in self._summaries(collected).items()
                },
                "pcc": numbers.pcc,
                "calibrated_elbo": numbers.calibrated_elbo,
                "calibrated_std": numbers.calibrated_std,
                "latents": numbers.latents.to_dict(),
                f"frechet_vgg19_block{FRECHET_BLOCK}": self._frechet(collected),
            },
        }

    def lines(
        self,
        metrics: Mapping[str, Summary],
        collected: Mapping[str, np.ndarray],
        size: tuple[int, int],
    ) -> list[str]:
        """Lines of every system, then a table of the VAE's metrics."""
        numbers = self._numbers(collected)
        latents = numbers.latents
        lines = [
            *super().lines(metrics, collected, size),
            "",
            "as the published VAE measures; ELBO, KL and likelihood in nats per photo",
            format_table(self._summaries(collected), _PHOTO_METRICS),
            f"PCC over all values: {numbers.pcc:.4f}",
            f"ELBO at its best standard deviation {numbers.calibrated_std:.4f}: "
            f"{numbers.calibrated_elbo:.1f} nats per photo",
            f"active units: {latents.active_units} of {len(latents.kl)}; largest KL of "
            f"a dimension: {latents.kl.max():.3f} nats",
        ]
        for name, distance in self._frechet(collected).items():
            title = name.replace("frechet_", "Fréchet distance of VGG19 features, ")
            few = latents.photos < 4 * _FRECHET_FEATURES
            note = ", too few for more than a rough figure" if few else ""
            lines.append(f"{title}: {distance:.4g} ({latents.photos} photos{note})")
        return lines

    def pictures(
        self,
        params,
        model_state,
        collected: Mapping[str, np.ndarray],
        labels: Sequence[str | None],
    ) -> dict[str, np.ndarray]:
        """Pictures of `vae/pictures.draw_latents`, and "latent_tsne"."""
        variables = {"params": params, **model_state}
        means, log_variances = collected[MEAN], collected[LOG_VARIANCE]
        pictures = draw_latents(
            lambda codes: self._decode(variables, codes),
            means,
            latent_statistics(means, log_variances),
            labels,
            samples=self._samples,
            interpolations=self._interpolations,
        )
        layout = draw_tsne(means, labels) if self._tsne else None
        return pictures if layout is None else {**pictures, "latent_tsne": layout}

    def _numbers(self, collected: Mapping[str, np.ndarray]) -> _SetNumbers:
        latents = latent_statistics(collected[MEAN], collected[LOG_VARIANCE])
        error = np.mean(collected[ERROR], dtype=np.float64)
        std, elbo = calibrate(error, latents.total_kl, self._values)
        return _SetNumbers(set_correlation(collected["moments"]), elbo, std, latents)

    def _summaries(self, collected: Mapping[str, np.ndarray]) -> dict[str, Summary]:
        return {
            name: summarize(collected[name], info.bounds)
            for name, info in _PHOTO_METRICS.items()
        }

    def _frechet(self, collected: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Fréchet distances of VGG19 features (not FID); empty without an encoder."""
        count = len(collected[MEAN])
        if self._features is None or count < 2:
            return {}
        if self._distances[0] is not collected:
            self._distances = collected, self._measure_distances(collected, count)
        return self._distances[1]

    def _measure_distances(self, collected, count: int) -> dict[str, float]:
        # The same codes in the same order in every evaluation.
        codes = np.random.default_rng(0).standard_normal((count, self._latent_size))
        images = in_batches(self._decode_codes)(codes.astype(np.float32))
        compute = in_batches(jax.jit(self._features))
        rows = {
            "reconstructions": collected[_FEATURES[OUTPUT]],
            "samples": compute(images.clip(0.0, 255.0)),
        }
        photos = collected[_FEATURES[TARGET]]
        return {
            f"frechet_{name}": frechet_distance(photos, features)
            for name, features in rows.items()
        }
