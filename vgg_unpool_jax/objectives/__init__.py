"""Systems that can be trained, by the name that a config gives them."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.objectives import unpooling, vae
from vgg_unpool_jax.objectives.base import RECONSTRUCTION, TARGET, Aux, Objective

_BUILDERS = {"unpooling": unpooling.from_config, "vae": vae.from_config}


def make_objective(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> Objective:
    """Build the system that `config.system` names.

    Args:
      config: the whole config of the run.
      record: the record of the run that is resumed or loaded, or None for a new one.

    Raises:
      ConfigError: for another name, or settings that cannot be trained with.
      WeightsError, WeightsMismatchError: for weights that are missing or not those of
        the record.
    """
    if config.system not in _BUILDERS:
        raise ConfigError(
            f"config.system must be one of {', '.join(_BUILDERS)}, got "
            f"{config.system!r}"
        )
    return _BUILDERS[config.system](config, record)


__all__ = ["RECONSTRUCTION", "TARGET", "Aux", "Objective", "make_objective"]
