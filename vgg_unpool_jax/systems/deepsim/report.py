"""The report of generators: inversion errors, features and spectra of their images."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.evaluation import spectrum
from vgg_unpool_jax.evaluation.distances import (
    cosines,
    distances,
    normalised_error,
    sketch,
)
from vgg_unpool_jax.evaluation.metrics import MetricInfo
from vgg_unpool_jax.evaluation.reports import OUTPUT, TARGET, Report
from vgg_unpool_jax.systems.deepsim.objective import OUTPUT_FEATURES, TARGET_FEATURES

_SPACES = ("image", "feature")
_SPECTRA = (f"{OUTPUT}_spectrum", f"{TARGET}_spectrum")


class DeePSiMReport(Report):
    """See `evaluation/reports.Report`; features are those of the inverted layer.

    An autoencoder's are those of the layer that its loss compares images with.
    """

    error_gain: ClassVar[float] = 2.0
    metrics: ClassVar[Mapping[str, MetricInfo]] = Report.metrics | {
        "feature_cosine": MetricInfo("cosine of features", "", 4, True, (-1.0, 1.0))
    }

    def photo_metrics(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Metrics of every system, and the cosine of features."""
        metrics = super().photo_metrics(outputs)
        if TARGET_FEATURES in outputs:
            features = outputs[OUTPUT_FEATURES], outputs[TARGET_FEATURES]
            metrics["feature_cosine"] = cosines(*features)
        return metrics

    def collect(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Distances of photos from their images, sketches, and spectra."""
        images, targets = jnp.clip(outputs[OUTPUT], 0.0, 255.0), outputs[TARGET]
        collected = dict(
            zip(_SPECTRA, spectrum.radial_spectra(images, targets), strict=True)
        )
        pairs = {"image": (images, targets)}
        if TARGET_FEATURES in outputs:
            pairs["feature"] = outputs[OUTPUT_FEATURES], outputs[TARGET_FEATURES]
        for space, (found, wanted) in pairs.items():
            collected[f"{space}_distance"] = distances(found, wanted)
            collected[f"{space}_rows"] = sketch(wanted)
        return super().collect(outputs) | collected

    def scalars(self, collected: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Normalised inversion errors, and errors of the spectrum in dB."""
        numbers = spectrum.spectrum_errors(*(collected[name] for name in _SPECTRA))
        for space in _SPACES:
            if f"{space}_rows" in collected:
                error = normalised_error(
                    collected[f"{space}_distance"], collected[f"{space}_rows"]
                )
                if error is not None:
                    numbers[f"{space}_error"] = error
        return numbers

    def results(self, metrics, collected) -> dict[str, Any]:
        """Results of every system, and the others under "deepsim"."""
        ratios = spectrum.ratios(*(collected[name] for name in _SPECTRA))
        numbers = {**self.scalars(collected), "spectrum_ratio_db": ratios}
        return {**super().results(metrics, collected), "deepsim": numbers}

    def lines(self, metrics, collected, size) -> list[str]:
        """Lines of every system, then the inversion errors."""
        numbers = self.scalars(collected)
        lines = super().lines(metrics, collected, size)
        spaces = [s for s in _SPACES if f"{s}_error" in numbers]
        if spaces:
            errors = ", ".join(f"{s} space {numbers[f'{s}_error']:.3f}" for s in spaces)
            lines.append(f"inversion error / distance of two photos: {errors}")
        lines.append(
            f"spectrum beside the photos': {numbers['spectrum_error']:.2f} dB off, "
            f"{numbers['high_frequency_error']:+.2f} dB in the upper quarter "
            "(negative is blur)"
        )
        return lines

    def pictures(
        self, params, model_state, collected, labels: Sequence[str | None]
    ) -> dict[str, np.ndarray]:
        """The mean spectra as "spectrum"."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure((6, 4), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        frequencies = (np.arange(spectrum.BINS) + 0.5) / (2 * spectrum.BINS)
        for name in _SPECTRA:
            powers = collected[name].mean(axis=0)
            axes.semilogy(frequencies, powers, label=name.removesuffix("_spectrum"))
        axes.set_xlabel("cycles per pixel")
        axes.set_ylabel("power, squared grey levels")
        axes.grid(alpha=0.3)
        axes.legend()
        canvas.draw()
        return {"spectrum": np.array(canvas.buffer_rgba())[..., :3]}
