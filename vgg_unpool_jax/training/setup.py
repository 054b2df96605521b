"""Preparation of the first step: checks, data, state."""

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import (
    Loader,
    Split,
    check_crop,
    make_loader,
)
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.training import parallel, run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints, check_fit
from vgg_unpool_jax.training.state import TrainState, create_train_state
from vgg_unpool_jax.training.step import as_float, photo_keys
from vgg_unpool_jax.training.system import Objective, System


def count_steps(config: ml_collections.ConfigDict, num_photos: int) -> int:
    """Length of a run: `num_steps`, or `num_epochs` over the training photos."""
    if (config.num_steps > 0) == (config.num_epochs > 0):
        raise ConfigError(
            "exactly one of num_steps and num_epochs must be positive, got "
            f"{config.num_steps} and {config.num_epochs}"
        )
    if config.num_steps > 0:
        return config.num_steps
    return max(1, round(config.num_epochs * num_photos / config.data.batch_size))


def make_train_loader(
    config: ml_collections.ConfigDict,
    system: System,
    part: Split,
    *,
    start: int,
    num_workers: int,
    process_index: int,
    process_count: int,
) -> Loader:
    """The endless stream of training batches from batch `start` on.

    Process `process_index` of `process_count` gets its share of every batch.
    """
    data = config.data
    return make_loader(
        part.source,
        part.indices,
        batch_size=data.batch_size,
        image_size=data.image_size,
        crop=data.crop,
        make_example=system.example_maker(config, "data"),
        seed=config.seed,
        shuffle=True,
        num_epochs=None,
        start=start,
        num_workers=num_workers,
        num_threads=data.num_threads,
        prefetch=data.prefetch,
        process_index=process_index,
        process_count=process_count,
        max_broken_share=data.max_broken_share,
    )


def check_images(
    config: ml_collections.ConfigDict, system: System, objective: Objective
):
    """Check crops and trace the system at both image sizes, before anything is read.

    Errors of the evaluation would otherwise appear hours later.

    Returns:
      Shapes of (params, model_state).
    """
    key = jax.random.key(config.seed)

    def losses(params, model_state, frozen, batch):
        model_state = {**model_state, "frozen": frozen}
        keys = photo_keys(key, batch["index"])
        return objective.losses(params, model_state, batch, keys, False)

    for section in ("evaluation", "data"):
        check_crop(
            config[section].crop,
            allow_random=section == "data",
            name=f"{section}.crop",
        )
        size, count = config[section].image_size, config[section].batch_size
        example = np.zeros((size, size, 3), np.uint8)
        arrays = {"image": example}
        make_example = system.example_maker(config, section)
        if make_example is not None:
            arrays = make_example(example, np.random.default_rng(0))
        batch = {name: np.stack([array] * count) for name, array in arrays.items()}
        batch = as_float({**batch, "index": np.zeros(count, np.int32)})
        try:
            shapes = jax.eval_shape(objective.init, key, batch)
            jax.eval_shape(losses, *shapes, objective.frozen, batch)
        except ValueError as error:
            raise ConfigError(f"{section}.image_size is {size}: {error}") from error
    return shapes


def read_record(config, system, saved, resumed):
    """Record of the run that is resumed or started from; None for a new one."""
    if resumed:
        return saved.read_record()
    if config.initialize_from:
        run_config.compare_models(config.initialize_from, config, system.model_fields)
        with Checkpoints(config.initialize_from, create=False) as other:
            return other.read_record()
    return None


def state_shapes(config, optimizer, params, model_state) -> TrainState:
    """Shapes and dtypes of a state, to restore a checkpoint into."""
    averaged = config.optimizer.average_decay > 0

    def create(params, model_state):
        return create_train_state(params, model_state, optimizer, averaged=averaged)

    return jax.eval_shape(create, params, model_state)


def initial_state(config, system, objective, optimizer, part) -> TrainState:
    """State before the first step, or from the run to start from."""
    # Every process initialises from the same whole first batch, so that statistics
    # measured on it are equal everywhere. It is read in threads, because starting
    # reader processes takes longer than one batch.
    whole = {"num_workers": 0, "process_index": 0, "process_count": 1}
    with make_train_loader(config, system, part, start=0, **whole) as loader:
        batch = as_float(next(loader))
    del batch["mask"]
    params, model_state = objective.init(jax.random.key(config.seed), batch)
    if config.initialize_from and config.get("initialize_shared_from", ""):
        raise ConfigError(
            "initialize_from and initialize_shared_from cannot both be set, got "
            f"{config.initialize_from} and {config.initialize_shared_from}"
        )
    if config.initialize_from:
        # Statistics too: the parameters were trained with them.
        with Checkpoints(config.initialize_from, create=False) as other:
            saved_params, saved_state, _ = other.restore_for_inference()
        check_fit(
            config.initialize_from,
            {"params": saved_params, "model_state": saved_state},
            {"params": params, "model_state": model_state},
        )
        params, model_state = saved_params, saved_state
    elif config.get("initialize_shared_from", ""):
        if system.share_parameters is None:
            raise ConfigError(
                f"the system {system.name} has no initialize_shared_from, got "
                f"{config.initialize_shared_from}"
            )
        params = system.share_parameters(config, params)
    averaged = config.optimizer.average_decay > 0
    return create_train_state(params, model_state, optimizer, averaged=averaged)


def check_numbers(config: ml_collections.ConfigDict) -> None:
    """Raise `ConfigError` for numbers that would fail in the middle of a run."""
    for section in ("data", "evaluation"):
        parallel.check_batch_size(f"{section}.batch_size", config[section].batch_size)
    least = {
        "log_every_steps": (config.log_every_steps, 1),
        "evaluation.every_steps": (config.evaluation.every_steps, 0),
        "checkpoints.every_steps": (config.checkpoints.every_steps, 0),
        "evaluation.num_photos": (config.evaluation.num_photos, 0),
        "evaluation.num_pictures": (config.evaluation.num_pictures, 0),
    }
    for field, (value, minimum) in least.items():
        if value < minimum:
            raise ConfigError(f"{field} must be at least {minimum}, got {value}")
