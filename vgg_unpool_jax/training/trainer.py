"""The one trainer: `train_and_evaluate(config, workdir)` for every system."""

import dataclasses
import logging
import os
import pathlib
import time
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import (
    CROPS,
    TEST_CROPS,
    Loader,
    Source,
    Split,
    make_augmentation,
    make_loader,
    make_source,
    split_indices,
)
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.objectives import Objective, make_objective
from vgg_unpool_jax.training import parallel, run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints, check_fit
from vgg_unpool_jax.training.optimizers import make_optimizer, make_schedule
from vgg_unpool_jax.training.progress import Progress
from vgg_unpool_jax.training.state import TrainState, create_train_state
from vgg_unpool_jax.training.step import make_train_step
from vgg_unpool_jax.training.summaries import SummaryWriter
from vgg_unpool_jax.training.validation import Validation

_LOG = logging.getLogger(__name__)


class TrainingDivergedError(FloatingPointError):
    """A loss or norm became NaN or infinite; the message names the step."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a call of the trainer achieved.

    Attributes:
      state: the state after the last step.
      total_steps: length of the whole run; `state.step` is less if time ran out.
      metrics: means over the validation photos, as logged last.
    """

    state: TrainState
    total_steps: int
    metrics: dict[str, float]


def train_and_evaluate(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    *,
    max_minutes: float | None = None,
) -> TrainResult:
    """Train a system, from the start or from the newest checkpoint of the workdir.

    Args:
      config: the experiment; see `configs/`.
      workdir: folder for config, checkpoints, TensorBoard files and pictures.
      max_minutes: stop with a checkpoint when this much time has passed; the same call
        goes on later. None trains to the end.

    Returns:
      The final state and validation metrics.

    Raises:
      ConfigError: when the workdir holds a run with another config, or a field of the
        config cannot be trained with.
      TrainingDivergedError: when the loss or a norm stops being finite.
      SourceError, WeightsError, CheckpointError: for inputs that cannot be used.
    """
    workdir = pathlib.Path(workdir)
    for section in ("data", "evaluation"):
        parallel.check_batch_size(f"{section}.batch_size", config[section].batch_size)
    source = make_source(config.data.source)
    split = split_indices(
        len(source), config.data.split_fractions, seed=config.data.split_seed
    )
    total_steps = count_steps(config, len(split.train))
    run_config.compare(workdir, config)
    with Checkpoints(workdir, max_to_keep=config.checkpoints.max_to_keep) as saved:
        resumed = saved.latest_step() is not None
        objective = make_objective(config, _read_record(config, saved, resumed))
        optimizer = make_optimizer(config.optimizer, total_steps)
        shapes = check_images(config, objective)
        if resumed:
            state = saved.restore(like=_state_shapes(config, optimizer, *shapes))
            _LOG.info("resuming %s at step %d", workdir, int(state.step))
        else:
            state = _initial_state(config, objective, optimizer, source, split)
        # Kept only now: a start that failed because of its config leaves none behind.
        run_config.save_or_compare(workdir, config)
        first_step = int(state.step)
        step_fn = parallel.parallelize_step(
            make_train_step(
                objective,
                optimizer,
                make_schedule(config.optimizer, total_steps),
                make_augmentation(flip=config.data.flip),
                average_decay=config.optimizer.average_decay,
            )
        )
        validation = Validation(config, objective, source, split, workdir)
        log = workdir / "tensorboard"
        with (
            make_train_loader(config, source, split, start=first_step) as loader,
            SummaryWriter(
                log,
                first_step=first_step + 1,
                # A run that is done already would repeat its last validation.
                enabled=jax.process_index() == 0 and first_step < total_steps,
            ) as summaries,
            Progress(
                total_steps=total_steps,
                first_step=first_step,
                batch_size=config.data.batch_size,
            ) as progress,
        ):
            run = _Run(config, objective, step_fn, saved, validation, summaries)
            deadline = None if max_minutes is None else 60 * max_minutes
            return run.train(state, loader, total_steps, progress, deadline)


def count_steps(config: ml_collections.ConfigDict, num_photos: int) -> int:
    """Length of a run: `num_steps`, or `num_epochs` over the training photos.

    Raises:
      ConfigError: unless exactly one of the two is positive.
    """
    if (config.num_steps > 0) == (config.num_epochs > 0):
        raise ConfigError(
            "exactly one of num_steps and num_epochs must be positive, got "
            f"{config.num_steps} and {config.num_epochs}"
        )
    if config.num_steps > 0:
        return config.num_steps
    return max(1, round(config.num_epochs * num_photos / config.data.batch_size))


def make_train_loader(
    config: ml_collections.ConfigDict, source: Source, split: Split, *, start: int
) -> Loader:
    """The endless stream of training batches from batch `start` on."""
    data = config.data
    return make_loader(
        source,
        split.train,
        batch_size=data.batch_size,
        image_size=data.image_size,
        crop=data.crop,
        seed=config.seed,
        shuffle=True,
        num_epochs=None,
        start=start,
        num_workers=data.num_workers,
        num_threads=data.num_threads,
        prefetch=data.prefetch,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        max_broken_share=data.max_broken_share,
    )


def check_images(config: ml_collections.ConfigDict, objective: Objective):
    """Check crops and trace the system at both image sizes, before anything is read.

    What the evaluation cannot take would otherwise show hours later.

    Returns:
      Shapes of (params, model_state).

    Raises:
      ConfigError: naming the section of the config.
    """
    key = jax.random.key(config.seed)

    def loss(params, model_state, frozen, batch):
        model_state = {**model_state, "frozen": frozen}
        return objective.loss(params, model_state, batch, key, False)

    for section, crops in (("evaluation", TEST_CROPS), ("data", CROPS)):
        crop = config[section].crop
        if crop not in crops:
            raise ConfigError(
                f"{section}.crop must be one of {', '.join(crops)}, got {crop!r}"
            )
        size, count = config[section].image_size, config[section].batch_size
        images = jax.ShapeDtypeStruct((count, size, size, 3), np.float32)
        try:
            shapes = jax.eval_shape(objective.init, key, {"image": images})
            jax.eval_shape(loss, *shapes, objective.frozen, {"image": images})
        except ValueError as error:
            raise ConfigError(f"{section}.image_size is {size}: {error}") from error
    return shapes


def _read_record(config, saved, resumed):
    """What frozen inputs have to be: those of the run that is gone on with."""
    if resumed:
        return saved.read_record()
    if config.initialize_from:
        run_config.compare_models(config.initialize_from, config)
        with Checkpoints(config.initialize_from, create=False) as other:
            return other.read_record()
    return None


def _state_shapes(config, optimizer, params, model_state) -> TrainState:
    averaged = config.optimizer.average_decay > 0

    def create(params, model_state):
        return create_train_state(params, model_state, optimizer, averaged=averaged)

    return jax.eval_shape(create, params, model_state)


def _initial_state(config, objective, optimizer, source, split) -> TrainState:
    # Every process initialises from the same whole first batch, so that statistics
    # measured on it are equal everywhere.
    data = config.data
    with make_loader(
        source,
        split.train,
        batch_size=data.batch_size,
        image_size=data.image_size,
        crop=data.crop,
        seed=config.seed,
        shuffle=True,
        num_epochs=None,
        max_broken_share=data.max_broken_share,
    ) as loader:
        images = next(loader)["image"].astype(np.float32)
    key = jax.random.key(config.seed)
    params, model_state = objective.init(key, {"image": images})
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
    averaged = config.optimizer.average_decay > 0
    return create_train_state(params, model_state, optimizer, averaged=averaged)


@dataclasses.dataclass
class _Run:
    """The loop and what it talks to."""

    config: ml_collections.ConfigDict
    objective: Objective
    step_fn: Callable
    saved: Checkpoints
    validation: Validation
    summaries: SummaryWriter

    def train(self, state, loader, total_steps, progress, deadline) -> TrainResult:
        config = self.config
        key = jax.random.key(config.seed)
        state = parallel.replicate(state)
        frozen = parallel.replicate(self.objective.frozen)
        began, pending, metrics = time.monotonic(), [], {}
        first, step = int(state.step), int(state.step)
        while step < total_steps:
            batch = parallel.shard_batch({"image": next(loader)["image"]})
            state, step_metrics = self.step_fn(state, frozen, batch, key)
            step += 1
            pending.append((step, step_metrics))
            # One process alone must not stop: the others would wait for it for ever.
            out_of_time = deadline is not None and parallel.any_process(
                time.monotonic() - began >= deadline
            )
            last = step == total_steps or out_of_time
            evaluates = last or step % config.evaluation.every_steps == 0
            saves = last or step % config.checkpoints.every_steps == 0
            if evaluates or saves or step % config.log_every_steps == 0:
                # Metrics are read before anything is saved, so a state that is not
                # finite is never written and the newest checkpoint can be trusted.
                self._log(pending, progress)
                pending = []
            if saves:
                self.saved.save(state, self.objective.record)
            if evaluates:
                # Evaluated after saving: a run killed in between loses no step.
                metrics = self.validation.run(state, frozen, self.summaries)
            if out_of_time:
                break
        if step == first:  # nothing was left to do; tell how good it is all the same
            metrics = self.validation.run(state, frozen, self.summaries)
        self.summaries.flush()
        return TrainResult(state, total_steps, metrics)

    def _log(self, pending, progress) -> None:
        """Check, average and write the metrics of the steps since the last log."""
        values = [(step, jax.device_get(metrics)) for step, metrics in pending]
        for step, metrics in values:
            broken = [name for name, v in metrics.items() if not np.isfinite(v)]
            if broken:
                listed = ", ".join(f"{name} is {metrics[name]}" for name in broken)
                saved = self.saved.latest_step()
                newest = "there is no checkpoint yet"
                if saved is not None:
                    newest = f"the newest checkpoint, of step {saved}, is from before"
                raise TrainingDivergedError(
                    f"training stopped at step {step}: {listed}; {newest}"
                )
        means = {
            name: float(np.mean([metrics[name] for _, metrics in values]))
            for name in values[0][1]
        }
        step = values[-1][0]
        means["images_per_second"] = progress.report(step, means["loss"])
        self.summaries.scalars(step, means, "train")
        # Before the checkpoint of this step: a run killed after it leaves no gap.
        self.summaries.flush()
