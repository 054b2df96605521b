"""What tables of super-resolution have: PSNR of the luma, and sharpness."""

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.data.bicubic import bicubic_taps
from vgg_unpool_jax.evaluation.metrics import MetricInfo
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.ops.lab import luma

_INFINITY = float("inf")
_PSNR = ("dB", 2, True, (0.0, _INFINITY))


class SuperResolutionReport(Report):
    """The usual metrics, and PSNR of the luma of outputs and of bicubic ones."""

    metrics = Report.metrics | {
        "psnr_y": MetricInfo("PSNR-Y", *_PSNR),
        "bicubic_psnr_y": MetricInfo("PSNR-Y bicubic", *_PSNR),
        "mean_gradient": MetricInfo(
            "mean gradient", "grey levels", 2, None, (0.0, _INFINITY)
        ),
        "true_mean_gradient": MetricInfo(
            "mean gradient of the photo", "grey levels", 2, None, (0.0, _INFINITY)
        ),
    }

    def __init__(self, objective):
        """Make the report of an objective."""
        super().__init__(objective)
        self._factor = objective.factor

    def photo_metrics(self, outputs):
        """Add them; traced."""
        factor = self._factor
        found = super().photo_metrics(outputs)
        found["mean_gradient"] = mean_gradient(outputs[OUTPUT])
        found["true_mean_gradient"] = mean_gradient(outputs[TARGET])
        if min(outputs[TARGET].shape[1:3]) <= 2 * factor:  # all of it is border
            return found
        reduced = outputs[INPUT][:, ::factor, ::factor]
        pairs = {"psnr_y": outputs[OUTPUT], "bicubic_psnr_y": enlarge(reduced, factor)}
        return found | {
            name: psnr_y(images, outputs[TARGET], border=factor)
            for name, images in pairs.items()
        }


def psnr_y(outputs: jax.Array, targets: jax.Array, *, border: int) -> jax.Array:
    """PSNR (n,) in dB of the luma, as published tables have it.

    Args:
      outputs: (n, h, w, 3) RGB on the scale of [0, 255]; clipped and rounded.
      targets: the same shape.
      border: number of rows and columns that are left out on each side.
    """
    rounded = jnp.round(jnp.clip(outputs, 0.0, 255.0))
    inside = slice(border, -border or None)
    lumas = (luma(images)[:, inside, inside] for images in (rounded, targets))
    error = jnp.mean(jnp.square(jnp.subtract(*lumas)), axis=(1, 2))
    return 10.0 * jnp.log10(255.0**2 / error)


def mean_gradient(images: jax.Array) -> jax.Array:
    """Mean absolute difference (n,) of the luma between neighbours: how sharp it is.

    Args:
      images: (n, h, w, 3) RGB on the scale of [0, 255].
    """
    grey = luma(jnp.clip(images, 0.0, 255.0))
    differences = [jnp.abs(jnp.diff(grey, axis=axis)) for axis in (1, 2)]
    return sum(jnp.mean(part, axis=(1, 2)) for part in differences) / 2


def enlarge(images: jax.Array, factor: int) -> jax.Array:
    """Images (n, h, w, 3) enlarged bicubically, as `data/bicubic` does it."""
    for axis in (1, 2):
        length = images.shape[axis]
        positions, weights = bicubic_taps(length, factor * length)
        shape = [1, 1, 1, 1]
        shape[axis] = factor * length
        images = sum(
            jnp.take(images, positions[:, tap].astype(np.int32), axis)
            * weights[:, tap].reshape(shape).astype(np.float32)
            for tap in range(positions.shape[1])
        )
    return images
