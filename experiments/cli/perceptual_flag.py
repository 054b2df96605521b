"""The flag that chooses metrics which need pretrained weights."""

from collections.abc import Sequence

from absl import flags

from vgg_unpool_jax.errors import ConfigError, WeightsUnavailableError
from vgg_unpool_jax.evaluation.metrics import PERCEPTUAL_METRICS
from vgg_unpool_jax.evaluation.perceptual import (
    DEFAULT_METRICS,
    PerceptualMetric,
    available_metrics,
    load_metric,
)

_NONE = "none"


def define_perceptual(name: str) -> flags.FlagHolder:
    """Define the flag, which `load_perceptual` calls --perceptual."""
    return flags.DEFINE_list(
        name,
        None,
        f"Perceptual metrics of {', '.join(PERCEPTUAL_METRICS)} or {_NONE}; weights "
        f"are downloaded. Default: those of {' and '.join(DEFAULT_METRICS)} whose "
        "weights are here.",
    )


def load_perceptual(names: Sequence[str] | None) -> list[PerceptualMetric]:
    """Load the metrics of the flag; prints what is left out because of its weights."""
    if names == [_NONE]:
        return []
    if names is not None:
        if unknown := set(names) - set(PERCEPTUAL_METRICS):
            raise ConfigError(
                f"--perceptual must be {_NONE} or some of "
                f"{', '.join(PERCEPTUAL_METRICS)}, got {', '.join(sorted(unknown))}"
            )
        return [load_metric(name) for name in dict.fromkeys(names)]
    metrics, left_out = available_metrics()
    missing = [
        name
        for name, error in left_out.items()
        if isinstance(error, WeightsUnavailableError)
    ]
    if missing:
        titles = " and ".join(PERCEPTUAL_METRICS[name].title for name in missing)
        print(
            f"note: {titles} left out, without weights on this machine: "
            f"--perceptual={','.join(missing)} downloads them, docs/metrics.md names "
            "the files"
        )
    for name, error in left_out.items():
        if name not in missing:
            print(f"note: {PERCEPTUAL_METRICS[name].title} left out: {error}")
    return metrics
