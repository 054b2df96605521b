"""What an evaluation of a compressive autoencoder reports: PSNR with and without it."""

from collections.abc import Mapping

import jax
import numpy as np

from vgg_unpool_jax.evaluation.reports import Report
from vgg_unpool_jax.systems.compressive.objective import QUANTIZED, UNQUANTIZED


class CompressiveReport(Report):
    """The usual metrics, and the mean PSNR of photos with and without quantiser."""

    def __init__(self, objective):
        """Make the report of an objective."""
        super().__init__(objective)
        self._bits = objective.bits

    def collect(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Keep the errors of each photo; traced."""
        errors = {name: outputs[name] for name in (QUANTIZED, UNQUANTIZED)}
        return {**super().collect(outputs), **errors}

    def scalars(self, collected: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Mean PSNR over the photos in dB."""
        return {
            "psnr_quantized": _psnr(collected[QUANTIZED]),
            "psnr_unquantized": _psnr(collected[UNQUANTIZED]),
        }

    def results(self, metrics, collected):
        """Add both."""
        return {**super().results(metrics, collected), **self.scalars(collected)}

    def lines(self, metrics, collected, size) -> list[str]:
        """Add a line."""
        with_it, without = self.scalars(collected).values()
        line = f"PSNR {without:.2f} dB without a quantiser"
        if self._bits:
            line += f", {with_it:.2f} dB with one of {self._bits} bits"
        return [line, *super().lines(metrics, collected, size)]


def _psnr(errors: np.ndarray) -> float:
    return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10))))
