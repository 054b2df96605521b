"""Preparation of the first step: checks, data, state."""

import functools
import itertools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Loader, Split, check_crop, make_loader
from vgg_unpool_jax.data.resident import ResidentLoader, ResidentPhotos
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.training import parallel, run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints, check_fit
from vgg_unpool_jax.training.stages import (
    Stage,
    StagedLoader,
    mean_batch_size,
)
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
    photos_per_step = mean_batch_size(config.data)
    return max(1, round(config.num_epochs * num_photos / photos_per_step))


def make_train_loader(
    config: ml_collections.ConfigDict,
    system: System,
    part: Split,
    stages: tuple[Stage, ...],
    *,
    step: int,
) -> StagedLoader:
    """This process's share of the training batches from step `step` on."""
    resident = _keep_on_device(config, system, part)

    def open_loader(stage: Stage, start: int) -> Loader | ResidentLoader:
        sizes = {
            "image_size": stage.image_size,
            "batch_size": stage.batch_size,
            "first_example": stage.first_example,
            "start": start,
        }
        if resident is not None:
            return ResidentLoader(resident, seed=config.seed, **sizes)
        return _endless(
            config,
            part,
            make_example=system.example_maker(config, "data"),
            num_workers=config.data.num_workers,
            **sizes,
            **parallel.this_process(),
        )

    return StagedLoader(stages, step, open_loader)


def _keep_on_device(config, system: System, part: Split) -> ResidentPhotos | None:
    data = config.data
    if not data.get("keep_on_device", False):
        return None
    if data.crop != "random" or system.example_maker(config, "data") is not None:
        raise ConfigError(
            "data.keep_on_device needs data.crop 'random' and a system whose examples "
            f"are crops alone, got crop {data.crop!r} and the system {system.name}"
        )
    if jax.process_count() > 1:
        raise ConfigError("data.keep_on_device works with a single process only")
    return ResidentPhotos(
        part.source, part.indices, num_threads=config.data.num_threads
    )


def _endless(config, part: Split, **arguments) -> Loader:
    data = config.data
    return make_loader(
        part.source,
        part.indices,
        crop=arguments.pop("crop", data.crop),
        seed=config.seed,
        shuffle=True,
        num_epochs=None,
        num_threads=data.num_threads,
        prefetch=data.prefetch,
        max_broken_share=data.max_broken_share,
        **arguments,
    )


def check_images(
    config: ml_collections.ConfigDict,
    system: System,
    objective: Objective,
    stages: tuple[Stage, ...],
):
    """Check crops and trace the system at all image sizes, before anything is read.

    Errors of the evaluation would otherwise appear hours later.

    Returns:
      Shapes of (params, model_state).
    """
    key = jax.random.key(config.seed)

    def losses(params, model_state, frozen, batch, train):
        model_state = {**model_state, "frozen": frozen}
        keys = photo_keys(key, batch["index"])
        if train:
            batch = {**batch, "step": jnp.int32(0)}
        return objective.losses(params, model_state, batch, keys, train)

    evaluation = config.evaluation
    sizes = [("evaluation", evaluation.image_size, evaluation.batch_size)]
    # The shapes that are returned are those of the first batch.
    sizes += [(s.field, s.image_size, s.batch_size) for s in reversed(stages)]
    for section in ("evaluation", "data"):
        check_crop(
            config[section].crop,
            allow_random=section == "data",
            name=f"{section}.crop",
        )
        if config[section].crop == "whole":
            raise ConfigError(
                f"{section}.crop is 'whole', but photos of a run must have one size: "
                "only the command evaluate takes whole ones"
            )
    for field, size, count in sizes:
        section = field.partition(".")[0]
        example = np.zeros((size, size, 3), np.uint8)
        arrays = {"image": example}
        make_example = system.example_maker(config, section)
        if make_example is not None:
            arrays = make_example(example, np.random.default_rng(0))
        batch = {name: np.stack([array] * count) for name, array in arrays.items()}
        batch = as_float({**batch, "index": np.zeros(count, np.int32)})
        try:
            shapes = jax.eval_shape(objective.init, key, batch)
            run = functools.partial(losses, train=section == "data")
            jax.eval_shape(run, *shapes, objective.frozen, batch)
        except ValueError as error:
            raise ConfigError(f"{field}.image_size is {size}: {error}") from error
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


def initial_state(config, system, objective, optimizer, part, stages) -> TrainState:
    """State before the first step, or from the run to start from."""
    first = stages[0]
    # Every process initialises from the same whole first batch, so that statistics
    # measured on it are equal everywhere. It is read in threads, because starting
    # reader processes takes longer than one batch.
    with _endless(
        config,
        part,
        image_size=first.image_size,
        batch_size=first.batch_size,
        make_example=system.example_maker(config, "data"),
    ) as loader:
        batch = as_float(next(loader))
    del batch["mask"]
    params, model_state = objective.init(jax.random.key(config.seed), batch)
    shared_from = config.get("initialize_shared_from", "")
    if config.initialize_from and shared_from:
        raise ConfigError(
            "initialize_from and initialize_shared_from cannot both be set, got "
            f"{config.initialize_from} and {shared_from}"
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
    elif system.prepare is not None:

        def crops(count: int, image_size: int, batch_size: int):
            return _random_crops(config, part, count, image_size, batch_size)

        params, model_state = system.prepare(
            config, objective, params, model_state, crops
        )
    elif shared_from:
        raise ConfigError(
            f"the system {system.name} has no initialize_shared_from, got {shared_from}"
        )
    averaged = config.optimizer.average_decay > 0
    return create_train_state(params, model_state, optimizer, averaged=averaged)


def _random_crops(
    config, part: Split, count: int, image_size: int, batch_size: int
) -> Iterator[np.ndarray]:
    with _endless(
        config, part, crop="random", image_size=image_size, batch_size=batch_size
    ) as loader:
        for batch in itertools.islice(loader, -(-count // batch_size)):
            images = batch["image"][:count]
            count -= len(images)
            yield images


def check_numbers(config: ml_collections.ConfigDict, stages: tuple[Stage, ...]) -> None:
    """Raise `ConfigError` for values that would fail in the middle of a run."""
    parallel.parallelism(config)
    for field, value in run_config.flatten(config.to_dict()).items():
        values = jax.tree.leaves(value)
        if any(isinstance(v, float) and not math.isfinite(v) for v in values):
            raise ConfigError(f"{field} must be finite, got {value}")
    for field, section in (
        ("evaluation", config.evaluation),
        *((stage.field, stage) for stage in stages),
    ):
        parallel.check_batch_size(f"{field}.batch_size", section.batch_size)
    least = {
        "log_every_steps": (config.log_every_steps, 1),
        "evaluation.every_steps": (config.evaluation.every_steps, 0),
        "checkpoints.every_steps": (config.checkpoints.every_steps, 0),
        "checkpoints.max_to_keep": (config.checkpoints.max_to_keep, 1),
        "evaluation.num_photos": (config.evaluation.num_photos, 0),
        "evaluation.num_pictures": (config.evaluation.num_pictures, 0),
    }
    for field, (value, minimum) in least.items():
        if value < minimum:
            raise ConfigError(f"{field} must be at least {minimum}, got {value}")
