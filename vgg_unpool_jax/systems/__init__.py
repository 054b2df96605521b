"""Systems that can be trained, by the name that a config gives them.

A new system is one folder here with a `system.py` that defines `SYSTEM`, and its name
in `NAMES`.
"""

import importlib
import os
from typing import Any

NAMES = (
    *("codec", "colorization", "compressive", "deepsim", "restoration"),
    *("staged", "super_resolution", "unpooling", "vae"),
)

# Systems of other packages, by name.
_REGISTERED: dict[str, Any] = {}


def register(system) -> None:
    """Make a `training.system.System` of another package known by its name."""
    if system.name in NAMES:
        raise ValueError(
            f"the name {system.name!r} belongs to a system of this package"
        )
    _REGISTERED[system.name] = system


def find(name: str):
    """The `training.system.System` of a name; systems are imported when first used."""
    from vgg_unpool_jax.errors import ConfigError

    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in NAMES:
        known = ", ".join([*NAMES, *_REGISTERED])
        raise ConfigError(f"config.system must be one of {known}, got {name!r}")
    return importlib.import_module(f"{__name__}.{name}.system").SYSTEM


def make_objective(config, record=None):
    """The objective of the system that `config.system` names.

    Args:
      config: the whole config of the run.
      record: the record of the run that is resumed or loaded, or None for a new one.
    """
    return find(config.system).make_objective(config, record)


def train_and_evaluate(
    config, workdir: str | os.PathLike, *, max_minutes: float | None = None
):
    """Train the system that `config.system` names; see `training/trainer.py`."""
    from vgg_unpool_jax.training import trainer

    return trainer.train_and_evaluate(
        config, workdir, find(config.system), max_minutes=max_minutes
    )


def load_trained(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> Any:
    """Load a trained model from a run or a release.

    Args:
      workdir: folder of a training run, or name or file of a released model.
      weights: a file of pretrained weights; None for the one of the training.

    Returns:
      The trained model of the system. All have `reconstruct`, `reconstruct_photo`,
      `prepare`, `evaluate`, `describe`, `config`, `step`, `record`, `crop`,
      `image_size`, `error_gain` and `tiles`.

    Raises:
      ConfigError: when the folder is not a workdir.
      CheckpointError: when there is no checkpoint in it.
      WeightsError: when the pretrained weights are unavailable or others.
    """
    from vgg_unpool_jax.releases import file, index
    from vgg_unpool_jax.training import run_config

    found = index.find(workdir)
    if found is None:
        name = run_config.read(workdir).get("system")
    else:
        name = file.read_metadata(found)["system"]
    return find(name).load(workdir, weights)
