"""The config of a run, kept in its workdir and compared at every start."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import ml_collections

from vgg_unpool_jax.errors import ConfigError, first_line
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.paths import check_reachable, to_path

FILE = "config.json"

# Fields that say how fast or where, not what: they may change between starts. The
# weights' file may move because a checkpoint knows its content by hash.
FREE_FIELDS = (
    "data.num_workers",
    "data.num_threads",
    "data.prefetch",
    "data.cache_megabytes",
    "data.max_broken_share",
    "encoder.weights",
    "encoder.random_if_unavailable",
    "convolution",
    "remat",
    "device_per_core",
    "log_every_steps",
    "checkpoints.every_steps",
    "checkpoints.max_to_keep",
    "checkpoints.keep_best",
)

# Fields that configs did not have from the beginning, and what a config without them
# means, so that older runs can go on.
LATER_FIELDS = {
    "data.validation_source": "",
    "optimizer.schedule": "linear",
    "optimizer.momentum": 0.95,
    "compute_dtype": "float32",
    "initialization": "he",
    "initialize_shared_from": "",
    "decoder.upsampling": "unpool",
}


def save(workdir: str | os.PathLike, config: ml_collections.ConfigDict) -> None:
    """Keep the config of a run in its workdir, which is created when missing.

    A config of a run that has no checkpoint is replaced: it has done nothing yet.
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
    """Turn what a config of another shape leads to into one sentence.

    Args:
      path: the file that the config is from.
      what: it should describe.
      refusal: the class to raise.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # Errors of our own are sentences, unless they quote a whole section.
        own = type(error).__module__.startswith("vgg_unpool_jax.")
        if own and "\n" not in str(error):
            raise
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
        f"{field} was {_shown(old)} and is {_shown(new)}"
        for field, old, new in differences
    )


def _shown(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() else repr(text)


def _differences(old, new) -> list[tuple[str, Any, Any]]:
    old, new = (LATER_FIELDS | _flatten(config.to_dict()) for config in (old, new))
    missing = "absent"
    return [
        (field, old.get(field, missing), new.get(field, missing))
        for field in sorted(old.keys() | new.keys())
        if field not in FREE_FIELDS
        and old.get(field, missing) != new.get(field, missing)
    ]


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            # JSON has lists only; a tuple of the same values is the same setting.
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat
