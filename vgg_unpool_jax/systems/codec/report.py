"""What an evaluation of a codec reports: rate and quality at each of its qualities."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vgg_unpool_jax.evaluation.reports import Report
from vgg_unpool_jax.evaluation.statistics import Summary
from vgg_unpool_jax.systems.codec.objective import BITS_PER_PIXEL, SQUARED_ERROR


class CodecReport(Report):
    """The metrics of the middle quality, and rate and PSNR of all."""

    def collect(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Keep rates and errors of each photo; traced."""
        curves = {name: outputs[name] for name in (BITS_PER_PIXEL, SQUARED_ERROR)}
        return {**super().collect(outputs), **curves}

    def results(
        self, metrics: Mapping[str, Summary], collected: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Add the points of the estimated rate-distortion curve."""
        return {**super().results(metrics, collected), "estimated": _points(collected)}

    def lines(self, metrics, collected, size) -> list[str]:
        """Add a line for each quality."""
        lines = [
            f"quality {point['quality']}: {point['bits_per_pixel']:.3f} bits per pixel "
            f"(estimated), PSNR {point['psnr']:.2f} dB"
            for point in _points(collected)
        ]
        return [*lines, *super().lines(metrics, collected, size)]


def _points(collected: Mapping[str, np.ndarray]) -> list[dict[str, float]]:
    rates, errors = collected[BITS_PER_PIXEL], collected[SQUARED_ERROR]
    psnr = 10 * np.log10(255**2 / np.maximum(errors, 1e-6))
    return [
        {"quality": index + 1, "bits_per_pixel": float(rate), "psnr": float(value)}
        for index, (rate, value) in enumerate(
            zip(rates.mean(axis=0), psnr.mean(axis=0), strict=True)
        )
    ]
