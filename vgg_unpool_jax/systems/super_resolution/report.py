"""What tables of super-resolution have: PSNR of the luma without the border."""

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.data.bicubic import bicubic_taps
from vgg_unpool_jax.evaluation.metrics import MetricInfo
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.ops.lab import luma

_PSNR = ("dB", 2, True, (0.0, float("inf")))


class SuperResolutionReport(Report):
    """The usual metrics, and PSNR of the luma of outputs and of bicubic ones."""

    metrics = Report.metrics | {
        "psnr_y": MetricInfo("PSNR-Y", *_PSNR),
        "bicubic_psnr_y": MetricInfo("PSNR-Y bicubic", *_PSNR),
    }

    def __init__(self, objective):
        """Make the report of an objective."""
        super().__init__(objective)
        self._factor = objective.factor

    def photo_metrics(self, outputs):
        """Add both; traced."""
        factor = self._factor
        if min(outputs[TARGET].shape[1:3]) <= 2 * factor:  # all of it is border
            return super().photo_metrics(outputs)
        reduced = outputs[INPUT][:, ::factor, ::factor]
        pairs = {"psnr_y": outputs[OUTPUT], "bicubic_psnr_y": enlarge(reduced, factor)}
        return super().photo_metrics(outputs) | {
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
