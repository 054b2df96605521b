"""The one trainer: `train_and_evaluate(config, workdir, system)`."""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import make_augmentation, open_splits, source_files
from vgg_unpool_jax.errors import ConfigError, PreemptedError, TrainingDivergedError
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.io.paths import check_reachable, is_remote, to_path
from vgg_unpool_jax.pretrained.load import weight_files
from vgg_unpool_jax.runtime.lock import locked
from vgg_unpool_jax.runtime.preemption import StopRequest
from vgg_unpool_jax.training import parallel, run_config, run_photos, setup
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.history import ValidationHistory
from vgg_unpool_jax.training.optimizers import make_optimizer
from vgg_unpool_jax.training.progress import Progress
from vgg_unpool_jax.training.stages import make_stages, mean_batch_size, stage_at
from vgg_unpool_jax.training.state import TrainState
from vgg_unpool_jax.training.step import make_train_step
from vgg_unpool_jax.training.summaries import SummaryWriter
from vgg_unpool_jax.training.system import Objective, System
from vgg_unpool_jax.training.validation import Validation

# Maximum number of dispatched, unfinished steps.
_STEPS_AHEAD = {"cpu": 4}
_STEPS_AHEAD_ELSEWHERE = 16
# A folder in the workdir that has the layout of a workdir.
BEST_FOLDER = "best"

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """The result of a call of the trainer.

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
    system: System,
    *,
    max_minutes: float | None = None,
) -> TrainResult:
    """Train a system, from the start or from the newest checkpoint of the workdir.

    Args:
      config: the experiment; see `configs/`.
      workdir: folder for config, checkpoints, TensorBoard files and pictures; local or
        gs://BUCKET/PATH.
      system: the system to train; `systems.train_and_evaluate` finds it by its name.
      max_minutes: stop with a checkpoint after this time; the same call resumes the run
        later. None trains to the end.

    Returns:
      The final state and validation metrics.

    Raises:
      ConfigError: when the workdir holds a run with another config, or a field of the
        config cannot be trained with.
      TrainingDivergedError: when the loss or a norm stops being finite.
      PreemptedError: after SIGTERM, with the current step saved.
      SourceError, WeightsError, CheckpointError: for inputs that cannot be used.
    """
    workdir = to_path(workdir)
    check_reachable(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"the workdir {workdir} is not a folder")
    splits = open_splits(config.data)
    _check_written(workdir, config, splits)
    num_photos = len(splits["train"].indices)
    total_steps = setup.count_steps(config, num_photos)
    stages = make_stages(config.data, total_steps)
    setup.check_numbers(config, stages)
    optimizer = make_optimizer(
        config.optimizer,
        total_steps,
        num_photos / mean_batch_size(config.data),
        map_arrays=parallel.map_divided,
    )
    with (
        # First, so that a run that gets SIGTERM while compiling stops after one step.
        StopRequest() as stop,
        _held(workdir),
        Checkpoints(workdir, max_to_keep=config.checkpoints.max_to_keep) as saved,
    ):
        objective, state = _start_or_resume(
            config,
            system,
            workdir,
            saved,
            optimizer.transformation,
            splits,
            stages,
        )
        # Saved only now, so that a start that fails because of its config leaves none.
        run_config.save(workdir, config)
        run_photos.save(workdir, splits)
        first_step = int(state.step)
        by = parallel.parallelism(config)
        # In place of the state on one device, which would be kept during the training.
        state = parallel.replicate(state, by=by)
        step_fn = parallel.parallelize_step(
            make_train_step(
                objective,
                optimizer,
                make_augmentation(flip=config.data.flip),
                average_decay=config.optimizer.average_decay,
            ),
            by=by,
        )
        validation = Validation(config, system, objective, splits, workdir)
        history = ValidationHistory(workdir, first_step)
        with (
            _best_checkpoint(config, workdir, splits, history) as best,
            setup.make_train_loader(
                config, system, splits["train"], stages, step=first_step
            ) as loader,
            SummaryWriter(
                workdir / "tensorboard",
                first_step=first_step + 1,
                # A finished run would repeat its last validation.
                enabled=jax.process_index() == 0
                and (first_step < total_steps or first_step not in history),
            ) as summaries,
            Progress(
                total_steps=total_steps,
                first_step=first_step,
                count_photos=lambda step: stage_at(stages, step).examples(step),
            ) as progress,
        ):
            run = _Run(
                config=config,
                objective=objective,
                step_fn=step_fn,
                saved=saved,
                best=best,
                validation=validation,
                history=history,
                summaries=summaries,
                stop=stop,
            )
            deadline = None if max_minutes is None else 60 * max_minutes
            result = run.train(state, loader, total_steps, progress, deadline)
    if run.preempted:
        raise PreemptedError(int(result.state.step), total_steps, workdir)
    return result


@contextlib.contextmanager
def _held(workdir):
    """Lock the workdir; the first of several processes holds the lock for all."""
    with contextlib.ExitStack() as stack:
        refusal = None
        if jax.process_index() == 0:
            try:
                stack.enter_context(locked(workdir))
            except (ConfigError, OSError) as error:
                refusal = error
        # All processes must learn of it, otherwise the others would wait.
        if parallel.any_process(refusal is not None):
            raise refusal or ConfigError(f"process 0 could not take {workdir}")
        yield


def _check_written(workdir, config, splits) -> None:
    """Refuse a workdir in which files would be written that are read."""
    reads = [file for part in splits.values() for file in source_files(part.source)]
    weights = config.get("encoder", {}).get("weights")
    reads += weight_files(weights or None)
    writes = [run_config.path(workdir)]
    if not is_remote(workdir):
        writes += [*(workdir / "pictures").glob("*.png"), workdir / "validation.json"]
    check_outputs(writes, reads)


@contextlib.contextmanager
def _best_checkpoint(config, workdir, splits, history):
    """The checkpoint of the best validation, if the config keeps it."""
    if not config.checkpoints.get("keep_best", True):
        yield None
        return
    folder = workdir / BEST_FOLDER
    # With them it is a workdir from which a model can be loaded and evaluated.
    run_config.save(folder, config)
    run_photos.save(folder, splits)
    with Checkpoints(folder, max_to_keep=1) as best:
        # Of another run that began here, or of steps that are trained once more.
        best.delete(step for step in best.steps() if step not in history)
        yield best


def _start_or_resume(
    config, system, workdir, saved, transformation, splits, stages
) -> tuple[Objective, TrainState]:
    """The system, and its first state or that of the newest checkpoint."""
    saved.set_damaged_aside()
    resumed = saved.latest_step() is not None
    if resumed:
        run_config.compare(workdir, config)
        run_photos.compare(workdir, splits)
    record = setup.read_record(config, system, saved, resumed)
    objective = system.make_objective(config, record)
    shapes = setup.check_images(config, system, objective, stages)
    if not resumed:
        state = setup.initial_state(
            config, system, objective, transformation, splits["train"], stages
        )
        return objective, state
    state = saved.restore(like=setup.state_shapes(config, transformation, *shapes))
    _LOG.info("resuming %s at step %d", workdir, int(state.step))
    return objective, state


def _next_batch(loader, pending, progress) -> dict:
    """The next batch, sharded; reports to `progress` how long the devices waited."""
    began = time.monotonic()
    batch = next(loader)
    batch = parallel.shard_batch({k: v for k, v in batch.items() if k != "mask"})
    # Steps are dispatched ahead of the devices. While the last one is running, the
    # devices do not wait; if it has ended in the meantime, the whole wait counts.
    if not pending or pending[-1][1]["gradient_norm"].is_ready():
        progress.waited(time.monotonic() - began)
    return batch


def _hold_back(pending) -> None:
    """Wait for an earlier step, to limit the number of dispatched steps.

    XLA accepts 32 computations per CPU device and then blocks; with several devices
    this has been observed to deadlock, once in 20,000 steps.
    """
    ahead = _STEPS_AHEAD.get(jax.default_backend(), _STEPS_AHEAD_ELSEWHERE)
    if len(pending) > ahead:
        jax.block_until_ready(pending[-1 - ahead][1])


def _losses(metrics) -> dict[str, float]:
    """The loss, or the loss of each part of the parameters."""
    if "loss" in metrics:
        return {"loss": metrics["loss"]}
    return {name: value for name, value in metrics.items() if name.endswith("_loss")}


def _is_due(step: int, every_steps: int) -> bool:
    """Whether `step` is a multiple of `every_steps`; 0 means never."""
    return every_steps > 0 and step % every_steps == 0


@dataclasses.dataclass
class _Run:
    """The training loop and the objects that it uses."""

    config: ml_collections.ConfigDict
    objective: Objective
    step_fn: Callable
    saved: Checkpoints
    best: Checkpoints | None
    validation: Validation
    history: ValidationHistory
    summaries: SummaryWriter
    stop: StopRequest
    preempted: bool = False

    def train(self, state, loader, total_steps, progress, deadline) -> TrainResult:
        config = self.config
        key = jax.random.key(config.seed)
        frozen = parallel.replicate(
            self.objective.frozen, by=parallel.parallelism(config)
        )
        began, pending, metrics = time.monotonic(), [], {}
        step = first_step = int(state.step)
        if step == total_steps or self._was_left_out(step):
            # Validate even if there is nothing left to train.
            metrics = self._validate(state, frozen)
        while step < total_steps and not self.preempted:
            batch = _next_batch(loader, pending, progress)
            if step == first_step:
                parallel.compile_ahead(self.step_fn, state, frozen, batch, key)
            state, step_metrics = self.step_fn(state, frozen, batch, key)
            step += 1
            pending.append((step, step_metrics))
            _hold_back(pending)
            # One process must not stop alone: the others would wait for it.
            out_of_time = deadline is not None and parallel.any_process(
                time.monotonic() - began >= deadline
            )
            self.preempted = self.stop.reached(step)
            last = step == total_steps or out_of_time
            # After SIGTERM there may be only seconds left, enough to save.
            evaluates = not self.preempted and (
                last or _is_due(step, config.evaluation.every_steps)
            )
            saves = self.preempted or (
                last or _is_due(step, config.checkpoints.every_steps)
            )
            if evaluates or saves or step % config.log_every_steps == 0:
                # Metrics are read before anything is saved, so a state that is not
                # finite is never written and the newest checkpoint can be trusted.
                self._log(pending, progress, loader)
                pending = []
            with progress.paused():
                if saves:
                    self.saved.save(state, self.objective.record)
                if evaluates:
                    # Evaluated after saving: a run killed in between loses no step.
                    metrics = self._validate(state, frozen)
            if out_of_time:
                break
        if loader.broken:
            _LOG.warning("%d broken photos were skipped", len(loader.broken))
        self.summaries.flush()
        return TrainResult(state, total_steps, metrics)

    def _was_left_out(self, step: int) -> bool:
        """Whether the run was stopped between a checkpoint and its validation."""
        is_due = step and _is_due(step, self.config.evaluation.every_steps)
        return bool(is_due) and step not in self.history

    def _validate(self, state, frozen) -> dict[str, float]:
        """Evaluate; keep the state if it is the best; {} if asked to stop meanwhile."""
        step = int(state.step)
        metrics = self.validation.run(
            state, frozen, self.summaries, abandon=self.stop.noted
        )
        if metrics is None:
            self.saved.save(state, self.objective.record)
            self.preempted = True
            return {}
        if step not in self.history:
            if self.best is not None and self._is_best(state, metrics):
                if jax.process_count() > 1:  # orbax cannot write two at once there
                    self.saved.wait()
                self.best.save(state, self.objective.record)
                self.best.wait()
            self.history.add(step, metrics)
        return metrics

    def _is_best(self, state, metrics) -> bool:
        checkpoints = self.config.checkpoints
        try:
            return self.history.would_be_best(
                metrics,
                checkpoints.get("best_metric", "loss"),
                checkpoints.get("best_mode", "min"),
            )
        except ConfigError:
            # Names of metrics are known only now; the right one resumes from here.
            self.saved.save(state, self.objective.record)
            raise

    def _log(self, pending, progress, loader) -> None:
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
        means |= progress.report(step, _losses(means))
        means["broken_photos"] = len(loader.broken)
        self.summaries.scalars(step, means, "train")
        # Before the checkpoint of this step: a run killed after it leaves no gap.
        self.summaries.flush()
