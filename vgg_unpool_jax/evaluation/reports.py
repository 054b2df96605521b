"""The report of a system: its metrics, and numbers and pictures of a whole set.

Validation during training and `evaluate` use the same report. `photo_metrics` and
`collect` are traced into the compiled evaluation step; the other methods run on the
host with the arrays that the step collected, for example correlation over all photos,
entropy coding or plots.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import numpy as np

from vgg_unpool_jax.data import Source
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation.artefacts import (
    ARTEFACT_METRICS,
    COLOR_ERRORS,
    compute_artefacts,
    grid_ratios,
    missing_artefacts,
    ratio,
)
from vgg_unpool_jax.evaluation.metrics import (
    METRICS,
    PERCEPTUAL_METRICS,
    MetricInfo,
    compute_photo_metrics,
    missing_metrics,
)
from vgg_unpool_jax.evaluation.statistics import Summary

PyTree = Any

# Names of a system's images among its outputs; see `training/system.Aux`.
INPUT, OUTPUT, TARGET = "input", "output", "target"

_LOG = logging.getLogger(__name__)


class Report:
    """The report of a system that makes images; other systems override methods.

    Attributes:
      metrics: title, unit, decimals and direction of each photo metric, in the order of
        tables.
      error_gain: factor by which pictures amplify errors, so that they can be seen.
    """

    metrics: ClassVar[Mapping[str, MetricInfo]] = (
        METRICS | PERCEPTUAL_METRICS | ARTEFACT_METRICS
    )
    error_gain: ClassVar[float] = 8.0

    def __init__(self, objective=None):
        """Make the report of an objective; this one needs nothing of it."""
        del objective

    def photo_metrics(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Metrics (n,) of each photo, from the objective's outputs; traced."""
        if OUTPUT not in outputs:
            return {}
        images = outputs[OUTPUT], outputs[TARGET]
        metrics = compute_photo_metrics(*images)
        if outputs[TARGET].shape[3] == len(COLOR_ERRORS):
            metrics |= compute_artefacts(*images)[0]
        return metrics

    def collect(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Small arrays (n, ...) to keep of each photo; traced."""
        if OUTPUT not in outputs or outputs[TARGET].shape[3] != len(COLOR_ERRORS):
            return {}
        return compute_artefacts(outputs[OUTPUT], outputs[TARGET])[1]

    def scalars(self, collected: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Numbers of the whole set, from the collected arrays of all photos."""
        return {}

    def results(
        self, metrics: Mapping[str, Summary], collected: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Entries of results.json beside the metrics."""
        grids = grid_ratios(collected)
        return {
            "border_ratio": border_ratio(metrics),
            "grid_ratios": {str(period): value for period, value in grids.items()},
        }

    def lines(
        self,
        metrics: Mapping[str, Summary],
        collected: Mapping[str, np.ndarray],
        size: tuple[int, int],
    ) -> list[str]:
        """Lines for people below the table of the metrics.

        Args:
          metrics: of the evaluated photos.
          collected: arrays of all photos.
          size: height and width of the smallest evaluated photo in pixels; larger ones
            may have metrics that it lacks.
        """
        if not set(COLOR_ERRORS) <= set(metrics):
            return []
        colors = (f"{metrics[name].mean:+.3f}" for name in COLOR_ERRORS)
        red, green, blue = colors
        lines = [f"colour error, output - input: red {red}, green {green}, blue {blue}"]
        if left_out := missing_artefacts(*size):
            lines.append(left_out)
        if "border_l1" in metrics:
            values = grid_ratios(collected).items()
            grids = ", ".join(f"{value:.3f} at {period}" for period, value in values)
            lines.insert(0, f"border L1 / centre L1: {border_ratio(metrics):.3f}")
            lines.append(f"grid, worst / best pixel phase (1 is none): {grids} pixels")
        return [*lines, *missing_metrics(*size).values()]

    def pictures(
        self,
        params: PyTree,
        model_state: PyTree,
        collected: Mapping[str, np.ndarray],
        labels: Sequence[str | None],
    ) -> dict[str, np.ndarray]:
        """Pictures (h, w, 3) uint8 by name, beside the grid of reconstructions.

        Args:
          params: as evaluated.
          model_state: as evaluated.
          collected: the arrays of all photos.
          labels: the class of each photo, None where there is none.
        """
        return {}


def border_ratio(metrics: Mapping[str, Summary]) -> float | None:
    """L1 of the border to that of the centre; None for crops below 48 pixels."""
    if "border_l1" not in metrics:
        return None
    return ratio(metrics["border_l1"].mean, metrics["center_l1"].mean)


def read_labels(source: Source, indices: np.ndarray) -> list[str | None]:
    """Classes of photos, for pictures; a class that cannot be read is None and logged.

    If all photos have the same class, such as the folder that contains them, all are
    None.

    Args:
      source: the photos.
      indices: which of them, (n,).
    """
    labels = []
    for index in indices:
        try:
            labels.append(source.label(int(index)))
        except PhotoError as error:
            # A missing label in a picture must not end a run.
            _LOG.warning("a photo is shown without its class: %s", error)
            labels.append(None)
    return labels if len(set(labels)) > 1 else [None] * len(labels)
