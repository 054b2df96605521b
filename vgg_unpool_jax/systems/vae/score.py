"""How well a trained VAE rebuilds and invents photos."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.evaluation.correlation import CorrelationSums, photo_pcc
from vgg_unpool_jax.evaluation.frechet import FeatureMoments, frechet_distance
from vgg_unpool_jax.evaluation.reconstruction import (
    ReconstructionScore,
    evaluate_reconstruction,
)
from vgg_unpool_jax.evaluation.reports import read_labels
from vgg_unpool_jax.evaluation.results import format_table
from vgg_unpool_jax.evaluation.statistics import MetricSums, Summary
from vgg_unpool_jax.losses import (
    gaussian_log_likelihood,
    half_squared_error,
    kl_to_standard_normal,
)
from vgg_unpool_jax.systems.vae.latents import (
    LatentStatistics,
    calibrate,
    latent_statistics,
)
from vgg_unpool_jax.systems.vae.model import HALF_RANGE
from vgg_unpool_jax.systems.vae.padded_ssim import photo_ssim_zero_padded
from vgg_unpool_jax.systems.vae.pictures import VAE_ERROR_GAIN, draw_latents, draw_tsne

# Where VGG19 is cut for Fréchet distances: of 256 features, the covariances of a
# thousand photos are a fair estimate.
FRECHET_BLOCK = 3
_FRECHET_FEATURES = 256

# Names of the two Fréchet distances in tables and result files.
_OF_RECONSTRUCTIONS = "frechet_reconstructions"
_OF_SAMPLES = "frechet_samples"


class VAELike(Protocol):
    """What is evaluated; see `vaes.TrainedVAE`."""

    image_size: int
    latent_size: int

    def encode(self, images) -> tuple[jax.Array, jax.Array]:
        """Images to means and log-variances."""

    def decode(self, codes) -> jax.Array:
        """Codes to images."""

    def reconstruct(self, images) -> jax.Array:
        """Images to images, by the means."""

    def log_std(self) -> float:
        """Logarithm of the standard deviation of p(x|z) on [-1, 1]."""


@dataclasses.dataclass(frozen=True)
class VAEScore:
    """What an evaluation found.

    Attributes:
      reconstruction: metrics of the reconstructions by the posterior's mean.
      metrics: those of `VAE_METRICS`, means over photos, of reconstructions by the
        mean; ELBO and likelihood with one drawn code a photo.
      pcc: correlation over all values of all photos.
      calibrated_elbo: the ELBO in nats a photo that the best standard deviation of
        p(x|z) for these photos gives; it lets losses be compared that imply different
        ones.
      calibrated_std: that standard deviation, on the scale of [-1, 1].
      latents: statistics of the posteriors.
      frechet: Fréchet distances of VGG19 features (not FID), empty without an encoder.
      drawn: pictures by name, uint8.
    """

    reconstruction: ReconstructionScore
    metrics: dict[str, Summary]
    pcc: float
    calibrated_elbo: float
    calibrated_std: float
    latents: LatentStatistics
    frechet: dict[str, float]
    drawn: Mapping[str, np.ndarray]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, ready for `write_results`."""
        own = {name: dataclasses.asdict(entry) for name, entry in self.metrics.items()}
        return {
            **self.reconstruction.to_dict(),
            "vae": {
                "metrics": own,
                "pcc": self.pcc,
                "calibrated_elbo": self.calibrated_elbo,
                "calibrated_std": self.calibrated_std,
                "latents": self.latents.to_dict(),
                f"frechet_vgg19_block{FRECHET_BLOCK}": self.frechet,
            },
        }

    def scalars(self) -> dict[str, float]:
        """Every number that is one."""
        return {
            **self.reconstruction.scalars(),
            **{f"vae_{name}": entry.mean for name, entry in self.metrics.items()},
            "vae_pcc": self.pcc,
            "vae_calibrated_elbo": self.calibrated_elbo,
            "vae_active_units": float(self.latents.active_units),
            **self.frechet,
        }

    def report(self) -> str:
        """Tables for people."""
        latents = self.latents
        lines = [
            self.reconstruction.report(),
            "",
            "as the published VAE measures; ELBO, KL and likelihood in nats a photo",
            format_table(self.metrics),
            f"PCC over all values: {self.pcc:.4f}",
            f"ELBO at its best standard deviation {self.calibrated_std:.4f}: "
            f"{self.calibrated_elbo:.1f} nats a photo",
            f"active units: {latents.active_units} of {len(latents.kl)}; largest KL of "
            f"a dimension: {latents.kl.max():.3f} nats",
        ]
        for name, distance in self.frechet.items():
            title = name.replace("frechet_", "Fréchet distance of VGG19 features, ")
            few = latents.photos < 4 * _FRECHET_FEATURES
            note = ", too few for more than a rough figure" if few else ""
            lines.append(f"{title}: {distance:.4g} ({latents.photos} photos{note})")
        return "\n".join(lines)

    def pictures(self) -> dict[str, np.ndarray]:
        """Reconstructions as "evaluation", and all that was drawn."""
        return {"evaluation": self.reconstruction.picture(), **self.drawn}


class _Observer:
    """Takes every batch of photos and reconstructions and measures the rest."""

    def __init__(self, vae: VAELike, features: Callable | None):
        self._vae, self._features = vae, features
        self._key = jax.random.key(0)
        self.sums, self.correlation = MetricSums(), CorrelationSums()
        self.posteriors, self.indices = [], []
        self.photos, self.reconstructions = FeatureMoments(), FeatureMoments()
        self._measure = jax.jit(_measure)
        self._log_std = vae.log_std()

    def __call__(self, batch: Mapping[str, np.ndarray], reconstructions) -> None:
        images, mask = batch["image"].astype(np.float32), batch["mask"]
        means, log_variances = self._vae.encode(images)
        # A photo's noise is its own, whatever batch it comes in.
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self._key, batch["index"])
        noise = jax.vmap(lambda key: jax.random.normal(key, means.shape[1:]))(keys)
        drawn = self._vae.decode(means + noise * jnp.exp(0.5 * log_variances))
        measured = self._measure(
            images, reconstructions, drawn, means, log_variances, self._log_std
        )
        self.sums.update(jax.device_get(measured), mask)
        clipped = np.asarray(reconstructions).clip(0.0, 255.0)
        self.correlation.update(clipped, images, mask)
        posterior = (np.asarray(means)[mask], np.asarray(log_variances)[mask])
        self.posteriors.append(posterior)
        self.indices.append(batch["index"][mask])
        if self._features is not None:
            self.photos.update(np.asarray(self._features(images)), mask)
            self.reconstructions.update(np.asarray(self._features(clipped)), mask)


def _measure(images, reconstructions, drawn, means, log_variances, log_std):
    clipped = jnp.clip(reconstructions, 0.0, 255.0)
    kl = jnp.sum(kl_to_standard_normal(means, log_variances), axis=1)
    error = half_squared_error(drawn / HALF_RANGE, images / HALF_RANGE)
    log_likelihood = gaussian_log_likelihood(error, log_std, images[0].size)
    return {
        "photo_pcc": photo_pcc(clipped, images),
        "ssim_zero_padded": photo_ssim_zero_padded(clipped, images),
        "mse": jnp.mean(jnp.square((clipped - images) / 255.0), axis=(1, 2, 3)),
        "elbo": log_likelihood - kl,
        "log_likelihood": log_likelihood,
        "kl": kl,
        "half_squared_error": error,
    }


def evaluate_vae(
    vae: VAELike,
    part: Split,
    *,
    crop: str,
    batch_size: int = 64,
    max_broken_share: float = 0.01,
    features: Callable | None = None,
) -> VAEScore:
    """Evaluate a VAE over all photos of a part.

    Args:
      vae: as from `load_vae`.
      part: the photos.
      crop: how they are cut, see `data/crops`.
      batch_size: photos at a time.
      max_broken_share: share of unreadable photos above which the evaluation stops.
      features: images (n, s, s, 3) in [0, 255] to feature rows (n, d) for Fréchet
        distances, or None to leave them out.
    """
    observer = _Observer(vae, features)
    reconstruction = evaluate_reconstruction(
        vae.reconstruct,
        part.source,
        part.indices,
        image_size=vae.image_size,
        crop=crop,
        batch_size=batch_size,
        max_broken_share=max_broken_share,
        observe=observer,
    )
    means, log_variances = (
        np.concatenate(rows) for rows in zip(*observer.posteriors, strict=True)
    )
    latents = latent_statistics(means, log_variances)
    metrics = observer.sums.summary()
    std, elbo = calibrate(
        metrics.pop("half_squared_error").mean,
        metrics["kl"].mean,
        3 * vae.image_size**2,
    )
    indices = np.concatenate(observer.indices)
    labels = read_labels(part.source, indices)
    drawn = draw_latents(
        vae.decode, means, latents, labels, samples=64, interpolations=6
    )
    layout = draw_tsne(means, labels)
    if layout is not None:
        drawn["latent_tsne"] = layout
    return VAEScore(
        reconstruction=dataclasses.replace(reconstruction, error_gain=VAE_ERROR_GAIN),
        metrics=metrics,
        pcc=observer.correlation.value(),
        calibrated_elbo=elbo,
        calibrated_std=std,
        latents=latents,
        frechet=_frechet(vae, features, observer, batch_size),
        drawn=drawn,
    )


def _frechet(vae, features, observer, batch_size) -> dict[str, float]:
    if features is None or observer.photos.count < 2:
        return {}
    samples, count = FeatureMoments(), observer.photos.count
    # The same codes in the same order, whatever the batch size.
    codes = np.random.default_rng(0).standard_normal((count, vae.latent_size))
    codes = codes.astype(np.float32)
    for start in range(0, count, batch_size):
        batch = codes[start : start + batch_size]
        rest = np.zeros((min(batch_size, count) - len(batch), vae.latent_size))
        # Filled up, so that nothing is compiled anew for the last batch.
        images = vae.decode(np.concatenate([batch, rest.astype(np.float32)]))
        rows = np.asarray(features(images.clip(0.0, 255.0)))
        samples.update(rows[: len(batch)])
    return {
        _OF_RECONSTRUCTIONS: frechet_distance(
            observer.photos, observer.reconstructions
        ),
        _OF_SAMPLES: frechet_distance(observer.photos, samples),
    }
