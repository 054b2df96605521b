"""The config of a run, kept in its workdir and compared at every start."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import ml_collections

from vgg_unpool_jax.errors import ConfigError, UserError, first_line
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.paths import check_reachable, to_path

FILE = "config.json"
CHECKPOINTS = "checkpoints"  # the folder beside it

# Fields that change speed or location, but no result beyond what another number of
# devices changes too (statistics of batches and free bits are those of each device):
# they may differ between starts.
# The weight file may move because a checkpoint holds the hash of its content.
FREE_FIELDS = (
    "data.num_workers",
    "data.num_threads",
    "data.prefetch",
    "data.cache_megabytes",
    "data.keep_on_device",
    "data.max_broken_share",
    "encoder.weights",
    "encoder.random_if_unavailable",
    "convolution",
    "remat",
    "device_per_core",
    "parallelism",
    "log_every_steps",
    "checkpoints.every_steps",
    "checkpoints.max_to_keep",
    "checkpoints.keep_best",
    "checkpoints.best_metric",
    "checkpoints.best_mode",
    # Used before the first step alone; older runs lack them.
    "preparation.num_photos",
    "preparation.image_size",
    "preparation.batch_size",
)

# Fields that older configs lack, and their values then, so that older runs resume.
LATER_FIELDS = {
    "data.validation_source": "",
    "data.stages": [],
    "optimizer.schedule": "linear",
    "optimizer.momentum": 0.95,
    "optimizer.clip_norm": 0.0,
    "compute_dtype": "float32",
    "initialization": "he",
    "initialize_shared_from": "",
    "decoder.upsampling": "unpool",
    "loss.lpips": 0.0,
    "loss.lpips_vgg": 0.0,
    "loss.dists": 0.0,
    "comparator.shift": 1,
}

# Values that older configs call otherwise: (field, value) -> today's value.
RENAMED_VALUES = {("loss.name", "seed"): "published"}


def save(workdir: str | os.PathLike, config: ml_collections.ConfigDict) -> None:
    """Keep the config of a run in its workdir, which is created when missing.

    The config of a run without a checkpoint is replaced.
    """
    json_file.write(to_path(workdir) / FILE, config.to_dict(), sort_keys=True)


def path(workdir: str | os.PathLike) -> pathlib.Path:
    """Where the config of a run is."""
    return to_path(workdir) / FILE


def compare(workdir: str | os.PathLike, config: ml_collections.ConfigDict):
    """Refuse another config than the run's; a workdir without one takes any."""
    if not (to_path(workdir) / FILE).exists():
        return
    differences = _differences(read(workdir), config)
    if differences:
        raise ConfigError(
            f"{workdir} holds a run with another config ({_list(differences)}): take "
            "another workdir or the same config"
        )


def read(
    workdir: str | os.PathLike, *, system: str | None = None
) -> ml_collections.ConfigDict:
    """The config of a run.

    Args:
      workdir: folder of the run.
      system: the system that the run must be of, or None for any.
    """
    path = to_path(workdir) / FILE
    check_reachable(path)
    if not path.exists():
        raise ConfigError(f"{workdir} is no workdir of a run: it has no {FILE}")
    content = json_file.read(path)
    with describing(path, "run"):
        config = ml_collections.ConfigDict(content)
    if system is not None and config.get("system") != system:
        raise ConfigError(
            f"{workdir} holds a run of the system {content.get('system')!r}, not of "
            f"{system!r}"
        )
    return config


@contextlib.contextmanager
def describing(
    path: str | os.PathLike, what: str, refusal: type[Exception] = ConfigError
) -> Iterator[None]:
    """Refuse a config file with missing fields, or fields of another type.

    Args:
      path: of the file.
      what: the config should describe.
      refusal: the class to raise.
    """
    try:
        yield
    except UserError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise refusal(
            f"the config in {path} describes no {what}: {first_line(error)}"
        ) from error


def compare_models(
    workdir: str | os.PathLike,
    config: ml_collections.ConfigDict,
    model_fields: tuple[str, ...],
):
    """Refuse a config whose model is not that of the run in `workdir`.

    Args:
      workdir: folder of the run.
      config: to compare with its config.
      model_fields: fields, and sections that end in a dot, that must agree.
    """
    differences = [
        difference
        for difference in _differences(read(workdir), config)
        if difference[0].startswith(("system", *model_fields))
    ]
    if differences:
        raise ConfigError(
            f"the parameters of {workdir} belong to another model: {_list(differences)}"
        )


def _list(differences: list[tuple[str, Any, Any]]) -> str:
    return "; ".join(
        f"{field} was {old} and is {new}" for field, old, new in differences
    )


def _differences(old, new) -> list[tuple[str, Any, Any]]:
    old, new = (
        {
            field: RENAMED_VALUES.get((field, str(value)), value)
            for field, value in (LATER_FIELDS | flatten(config.to_dict())).items()
        }
        for config in (old, new)
    )
    missing = "absent"
    return [
        (field, old.get(field, missing), new.get(field, missing))
        for field in sorted(old.keys() | new.keys())
        if field not in FREE_FIELDS
        and old.get(field, missing) != new.get(field, missing)
    ]


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of a nested dict by their paths, "data.source"; tuples as lists."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _as_lists(value)
    return flat


def _as_lists(value):
    """JSON has lists only; a tuple of the same values is the same setting."""
    if isinstance(value, tuple | list):
        return [_as_lists(item) for item in value]
    return value
