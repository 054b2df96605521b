"""Optimizers and learning-rate schedules from a config.

The section `optimizer` describes one optimizer for all parameters, or, with entries in
`optimizer.parts`, one for each named part of them: an entry's name is that of a
top-level collection of parameters ("encoder"), and its fields replace those of the
section. Each parameter then has exactly one owner. `clip_norm`, where it is not 0,
limits the norm of the gradient of all parameters of one optimizer.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import ml_collections
import optax

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.training.muon import MapArrays, map_here, muon

# The fields of the section that each schedule and optimizer needs.
SCHEDULES = {
    "constant": (),
    "exponential": ("decay_rate", "decay_epochs"),
    "linear": ("final_learning_rate",),
}
OPTIMIZERS = {
    "adam": ("b1", "b2", "eps"),
    "frozen": (),  # keeps its parameters, which are saved all the same
    "muon": ("momentum", "b1", "b2", "eps"),
    "rmsprop": ("decay", "eps"),
}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An optimizer and its learning rates.

    Attributes:
      transformation: the optax optimizer of all parameters.
      learning_rates: step -> learning rate, by the name under which it is logged.
      parts: the parts of the parameters that have their own optimizer, if any.
      frozen: those among them that are not trained.
    """

    transformation: optax.GradientTransformation
    learning_rates: Mapping[str, Callable]
    parts: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()


def make_optimizer(
    config: ml_collections.ConfigDict,
    total_steps: int,
    steps_per_epoch: float,
    *,
    map_arrays: MapArrays = map_here,
) -> Optimizer:
    """The optimizer of a run.

    Args:
      config: the section `optimizer` of the run's config.
      total_steps: length of the run in steps.
      steps_per_epoch: number of steps in which every training photo is used once.
      map_arrays: how Muon computes the updates of several kernels; see `muon`.
    """
    parts = config.get("parts", None)
    if not parts:
        schedule = make_schedule(config, total_steps, steps_per_epoch)
        return Optimizer(
            _make_one(config, schedule, map_arrays), {"learning_rate": schedule}
        )
    transformations, rates = {}, {}
    frozen = frozen_parts(config)
    for name in parts:
        section = _with_overrides(config, name)
        if name in frozen:
            transformations[name] = optax.set_to_zero()
            continue
        schedule = make_schedule(section, total_steps, steps_per_epoch)
        transformations[name] = _make_one(section, schedule, map_arrays)
        rates[f"learning_rate/{name}"] = schedule
    names = tuple(parts)
    partitioned = optax.partition(
        transformations, lambda params: label_parameters(params, names)
    )
    return Optimizer(partitioned, rates, names, frozen)


def frozen_parts(config: ml_collections.ConfigDict) -> tuple[str, ...]:
    """The parts of the parameters that a config's section `optimizer` freezes."""
    parts = config.get("parts", None) or {}
    return tuple(
        name for name in parts if parts[name].get("name", config.name) == "frozen"
    )


def label_parameters(params: Mapping, parts: tuple[str, ...]):
    """Name the owner of every parameter.

    Args:
      params: parameters by the name of their part, then nested at will.
      parts: names of the parts that have an optimizer.

    Returns:
      A tree like `params` with the name of a part instead of each array.
    """
    if set(params) != set(parts):
        raise ConfigError(
            "optimizer.parts must name each part of the model once: the model has "
            f"{', '.join(sorted(params))}, the config {', '.join(sorted(parts))}"
        )
    return {name: jax.tree.map(lambda _, n=name: n, params[name]) for name in params}


def make_schedule(
    config: ml_collections.ConfigDict, total_steps: int, steps_per_epoch: float
) -> Callable:
    """The learning rate over the steps, after an optional linear warm-up from 0.

    Decay of either kind begins at the end of the warm-up.

    Args:
      config: with `schedule`, `learning_rate`, `warmup_steps` (0 for none) and
        for "linear": `final_learning_rate`, reached at the last step;
        for "exponential": `decay_rate`, the factor after every `decay_epochs` epochs.
      total_steps: length of the run in steps, the warm-up included.
      steps_per_epoch: number of steps in which every training photo comes once.

    Returns:
      An optax schedule, step -> learning rate.
    """
    warmup, rate = config.warmup_steps, config.learning_rate
    if not 0 <= warmup < total_steps:
        raise ConfigError(
            f"optimizer.warmup_steps must be at least 0 and less than the {total_steps}"
            f" steps of the run, got {warmup}"
        )
    _require_fields(config, "schedule", SCHEDULES)
    if config.schedule == "linear":
        schedule = optax.linear_schedule(
            rate, config.final_learning_rate, total_steps - warmup
        )
    elif config.schedule == "exponential":
        schedule = _staircase(config, steps_per_epoch)
    else:
        schedule = optax.constant_schedule(rate)
    if not warmup:
        return schedule
    rise = optax.linear_schedule(0.0, rate, warmup)
    return optax.join_schedules([rise, schedule], [warmup])


def _staircase(config, steps_per_epoch):
    for field in ("decay_rate", "decay_epochs"):
        if not config[field] > 0:
            raise ConfigError(
                f"optimizer.{field} must be positive, got {config[field]}"
            )
    steps = config.decay_epochs * steps_per_epoch

    # Not optax.exponential_decay, whose periods are whole numbers of steps.
    def schedule(step):
        periods = jnp.floor(jnp.float32(step) / steps)
        return config.learning_rate * config.decay_rate**periods

    return schedule


def _make_one(config, schedule, map_arrays) -> optax.GradientTransformation:
    _require_fields(config, "name", OPTIMIZERS)
    if config.name == "frozen":
        raise ConfigError(
            "optimizer.name 'frozen' is for an entry of optimizer.parts: a run must "
            "train something"
        )
    # Absent in runs that are older than the field.
    largest = config.get("clip_norm", 0.0)
    if not largest >= 0:
        raise ConfigError(f"optimizer.clip_norm must be at least 0, got {largest}")
    one = _make_unclipped(config, schedule, map_arrays)
    if not largest:
        return one
    return optax.chain(optax.clip_by_global_norm(largest), one)


def _make_unclipped(config, schedule, map_arrays) -> optax.GradientTransformation:
    if not config.eps > 0:
        raise ConfigError(f"optimizer.eps must be positive, got {config.eps}")
    if config.name == "adam":
        adam = optax.adam(schedule, b1=config.b1, b2=config.b2, eps=config.eps)
        # Absent in runs that are older than the field.
        decay = config.get("weight_decay", 0.0)
        if not decay >= 0:
            raise ConfigError(f"optimizer.weight_decay must be at least 0, got {decay}")
        if not decay:
            return adam
        # L2 regularisation as in torch's Adam: part of the gradient, not AdamW.
        return optax.chain(optax.add_decayed_weights(decay), adam)
    if config.name == "muon":
        return muon(
            schedule,
            momentum=config.momentum,
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            map_arrays=map_arrays,
        )
    # As in torch: eps is added to the root, the first average is 0.
    return optax.rmsprop(
        schedule, decay=config.decay, eps=config.eps, eps_in_sqrt=False
    )


def _require_fields(config, field: str, known: Mapping[str, tuple[str, ...]]) -> None:
    value = config[field]
    if value not in known:
        raise ConfigError(
            f"optimizer.{field} must be one of {', '.join(known)}, got {value!r}"
        )
    missing = [name for name in known[value] if name not in config]
    if missing:
        raise ConfigError(
            f"optimizer.{field} {value!r} needs optimizer.{', '.join(missing)}, which "
            "this config does not have: take a variant that does"
        )


def _with_overrides(config, part) -> ml_collections.ConfigDict:
    section = ml_collections.ConfigDict(config.to_dict())
    section.unlock()
    for field, value in config.parts[part].items():
        if field == "parts" or field == "average_decay":
            raise ConfigError(f"optimizer.parts.{part} cannot have its own {field}")
        section[field] = value
    return section
