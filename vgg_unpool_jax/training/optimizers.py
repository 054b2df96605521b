"""Optimizers and learning-rate schedules from a config."""

import ml_collections
import optax

from vgg_unpool_jax.errors import ConfigError


def make_schedule(config: ml_collections.ConfigDict, total_steps: int):
    """Linear decay from `learning_rate` to `final_learning_rate`.

    Args:
      config: with learning_rate, final_learning_rate and warmup_steps (a linear rise
        from 0 in front of the decay; 0 for none).
      total_steps: length of the run in steps, the warm-up included.

    Returns:
      An optax schedule, step -> learning rate.

    Raises:
      ConfigError: when the warm-up is as long as the run.
    """
    warmup = config.warmup_steps
    if not 0 <= warmup < total_steps:
        raise ConfigError(
            f"optimizer.warmup_steps must be at least 0 and less than the {total_steps}"
            f" steps of the run, got {warmup}"
        )
    decay = optax.linear_schedule(
        config.learning_rate, config.final_learning_rate, total_steps - warmup
    )
    if not warmup:
        return decay
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    return optax.join_schedules([rise, decay], [warmup])


def make_optimizer(
    config: ml_collections.ConfigDict, total_steps: int
) -> optax.GradientTransformation:
    """Adam on the schedule of `make_schedule`.

    Args:
      config: with name ("adam"), b1, b2, eps and the fields of the schedule.
      total_steps: length of the run in steps.

    Raises:
      ConfigError: for another name.
    """
    if config.name != "adam":
        raise ConfigError(f"optimizer.name must be 'adam', got {config.name!r}")
    schedule = make_schedule(config, total_steps)
    return optax.adam(schedule, b1=config.b1, b2=config.b2, eps=config.eps)
