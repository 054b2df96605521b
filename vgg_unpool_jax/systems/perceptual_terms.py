"""LPIPS and DISTS as terms of a system's loss.

A section `loss` may have coefficients under the names of the metrics: `lpips` (of
AlexNet), `lpips_vgg`, `dists`. Weights are loaded for those that are not 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.metrics import PERCEPTUAL_METRICS
from vgg_unpool_jax.evaluation.perceptual import (
    PerceptualMetric,
    load_recorded_metrics,
)
from vgg_unpool_jax.training.system import PyTree


class PerceptualTerms:
    """Terms of a loss that have networks of their own; none without a coefficient.

    Attributes:
      frozen: metric -> arrays, to be part of an objective's `frozen`.
      record: metric -> facts about its weights, of an objective's `record`.
    """

    def __init__(
        self,
        coefficients: Mapping[str, float] | None = None,
        metrics: Sequence[PerceptualMetric] = (),
    ):
        """Put metrics and their coefficients together."""
        self._coefficients = dict(coefficients or {})
        self._metrics = {metric.name: metric for metric in metrics}
        self.frozen: PyTree = {name: m.params for name, m in self._metrics.items()}
        self.record = {name: m.record for name, m in self._metrics.items()}

    def __call__(
        self, frozen: Mapping[str, Any], outputs: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The cost of each photo, and its terms before their coefficients.

        Args:
          frozen: with the entries of `self.frozen`.
          outputs: (n, h, w, 3) on the scale of [0, 255].
          targets: the same shape.

        Returns:
          cost: (n,), or a scalar 0 without any term.
          terms: metric -> (n,).
        """
        terms = {
            name: metric.distances(frozen[name], outputs, targets)
            for name, metric in self._metrics.items()
        }
        costs = (self._coefficients[name] * x for name, x in terms.items())
        return sum(costs, jnp.float32(0.0)), terms


def load_terms(
    loss: Mapping[str, Any],
    record: Mapping[str, Any] | None = None,
    *,
    dtype=jnp.float32,
) -> PerceptualTerms:
    """The terms of a config's section `loss`; runs of older versions name none.

    Args:
      loss: the section.
      record: of the run that is resumed, see `load_recorded_metrics`.
      dtype: of the networks' activations.
    """
    coefficients = {name: loss.get(name, 0.0) for name in PERCEPTUAL_METRICS}
    for name, value in coefficients.items():
        if not value >= 0:
            raise ConfigError(f"loss.{name} must be at least 0, got {value}")
    used = {name: value for name, value in coefficients.items() if value}
    return PerceptualTerms(used, load_recorded_metrics(list(used), record, dtype=dtype))
