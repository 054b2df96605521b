"""The metrics of all validations of a run, in a file of its workdir.

    {"validations": [{"step": 2000, "metrics": {"loss": 31.99, ...}}, ...]}

From it a run that was killed between a checkpoint and its validation learns that the
validation is missing, and which one was the best.
"""

import math
import os
from collections.abc import Mapping

import jax

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.paths import to_path

FILE = "validation.json"

# Raised for JSON of another shape.
_OTHER_SHAPE = (
    AttributeError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)


class ValidationHistory:
    """The validations of a run, oldest first."""

    def __init__(self, workdir: str | os.PathLike, step: int):
        """Read the file of the workdir.

        Args:
          workdir: folder of the run.
          step: from which the run resumes; later validations are dropped.
        """
        self._path = to_path(workdir) / FILE
        self._metrics = {}
        if not self._path.exists():
            return
        content = json_file.read(self._path)
        try:
            entries = content["validations"]
            self._metrics = {
                int(entry["step"]): {k: float(v) for k, v in entry["metrics"].items()}
                for entry in entries
                if int(entry["step"]) <= step
            }
        except _OTHER_SHAPE as error:
            raise ConfigError(
                f"{self._path} cannot be read: {error!r}; move it away to resume "
                "without it"
            ) from error

    def __contains__(self, step: int) -> bool:
        """Whether the validation of a step is done."""
        return step in self._metrics

    def would_be_best(
        self, metrics: Mapping[str, float], name: str = "loss", mode: str = "min"
    ) -> bool:
        """Whether a validation is better than all before it.

        Args:
          metrics: of the validation; an empty mapping is never better.
          name: of the metric to compare.
          mode: "min" if smaller is better, "max" if larger is better.
        """
        if not metrics:
            return False
        if name not in metrics or mode not in ("min", "max"):
            raise ConfigError(
                f"checkpoints.best_metric must be one of {', '.join(sorted(metrics))} "
                f"and checkpoints.best_mode min or max, got {name!r} and {mode!r}"
            )
        sign = 1.0 if mode == "min" else -1.0
        before = [sign * m[name] for m in self._metrics.values() if name in m]
        # Correlations of constant outputs, as in the beginning, are not numbers.
        before = [value for value in before if not math.isnan(value)]
        return sign * metrics[name] < min(before, default=float("inf"))

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a validation to the file; only the first of several processes writes."""
        self._metrics[step] = dict(metrics)
        if jax.process_index() == 0:
            entries = [
                {"step": step, "metrics": metrics}
                for step, metrics in sorted(self._metrics.items())
            ]
            write_results(self._path, {"validations": entries})
