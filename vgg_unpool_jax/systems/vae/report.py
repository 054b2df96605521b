"""What validation tells of a variational autoencoder.

Numbers over the whole validation set: one correlation over all values (`pcc`), the
structural similarity with zero padding, the mean squared error on the scale of [0, 1],
the divergence of the posterior and its active units. Pictures: samples of the prior, an
interpolation, the divergence of each dimension, a map of the latent means.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.evaluation.correlation import CorrelationSums, photo_pair_moments
from vgg_unpool_jax.systems.vae.latents import calibrate, latent_statistics
from vgg_unpool_jax.systems.vae.objective import (
    ERROR,
    LOG_VARIANCE,
    MEAN,
    VAEObjective,
)
from vgg_unpool_jax.systems.vae.padded_ssim import photo_ssim_zero_padded
from vgg_unpool_jax.systems.vae.pictures import VAE_ERROR_GAIN, draw_latents
from vgg_unpool_jax.training.system import RECONSTRUCTION, TARGET

# As in the published program's pictures.
_SAMPLES = 25
_INTERPOLATIONS = 3


class VAEReport:
    """The report of a VAE; see `evaluation/reports.Report`."""

    error_gain = VAE_ERROR_GAIN

    def __init__(self, objective: VAEObjective):
        """Compile nothing yet."""
        model = objective.model
        self._values = 3 * model.image_size**2
        self._decode = jax.jit(
            lambda variables, codes: model.apply(variables, codes, method="decode")
        )

    def collect(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Posterior, moments for the correlation, and the two metrics of the seed."""
        targets = outputs[TARGET]
        images = jnp.clip(outputs[RECONSTRUCTION], 0.0, 255.0)
        collected = {
            MEAN: outputs[MEAN],
            LOG_VARIANCE: outputs[LOG_VARIANCE],
            ERROR: outputs[ERROR],
            "moments": photo_pair_moments(images, targets),
        }
        collected["ssim_zero_padded"] = photo_ssim_zero_padded(images, targets)
        squares = jnp.square((images - targets) / 255.0)
        collected["mse"] = jnp.mean(squares, axis=(1, 2, 3))
        return collected

    def scalars(self, collected: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Those of the seed, the calibrated ELBO, those of `LatentStatistics`."""
        correlation = CorrelationSums()
        correlation.update_moments(collected["moments"], self._values)
        latents = latent_statistics(collected[MEAN], collected[LOG_VARIANCE])
        error = np.mean(collected[ERROR], dtype=np.float64)
        std, elbo = calibrate(error, latents.total_kl, self._values)
        return {
            "pcc": correlation.value(),
            **{
                name: float(np.mean(collected[name], dtype=np.float64))
                for name in ("ssim_zero_padded", "mse")
            },
            "calibrated_elbo": elbo,
            "calibrated_std": std,
            **latents.scalars(),
        }

    def pictures(
        self,
        params,
        model_state,
        collected: Mapping[str, np.ndarray],
        labels: Sequence[str | None],
    ) -> dict[str, np.ndarray]:
        """As `vae_pictures.draw_latents` says."""
        variables = {"params": params, **model_state}
        means, log_variances = collected[MEAN], collected[LOG_VARIANCE]
        return draw_latents(
            lambda codes: self._decode(variables, codes),
            means,
            latent_statistics(means, log_variances),
            labels,
            samples=_SAMPLES,
            interpolations=_INTERPOLATIONS,
        )
