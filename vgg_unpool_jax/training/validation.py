"""Validation during training: metrics over held-out photos, and picture grids."""

import logging
import pathlib
from collections.abc import Callable, Mapping

import jax
import ml_collections

from vgg_unpool_jax.data import Split, make_loader
from vgg_unpool_jax.evaluation.evaluator import (
    Evaluation,
    evaluate_batches,
    example_rows,
)
from vgg_unpool_jax.evaluation.pictures import picture_grid, save_png
from vgg_unpool_jax.evaluation.reports import read_labels
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.state import TrainState
from vgg_unpool_jax.training.step import make_evaluation_step
from vgg_unpool_jax.training.summaries import SummaryWriter
from vgg_unpool_jax.training.system import Objective, System

_LOG = logging.getLogger(__name__)


class Validation:
    """Evaluates a state on validation photos, the same ones every time."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        system: System,
        objective: Objective,
        splits: Mapping[str, Split],
        workdir: pathlib.Path,
    ):
        """Choose photos; nothing is read yet.

        Args:
          config: of the run; its section "evaluation" counts here.
          system: what is trained.
          objective: the system's.
          splits: photos to train and to validate on.
          workdir: pictures go to its folder "pictures".
        """
        self._config = config
        self._make_example = system.example_maker(config, "evaluation")
        evaluation = config.evaluation
        validation = splits["validation"]
        # The training photos are for a grid of pictures alone.
        self._validation = validation._replace(
            indices=validation.indices[: evaluation.num_photos or None]
        )
        self._train = splits["train"]._replace(
            indices=splits["train"].indices[: evaluation.num_pictures]
        )
        self._folder = workdir / "pictures"
        self._report = system.make_report(objective)
        self._evaluate = parallel.parallelize_evaluation(
            make_evaluation_step(objective, self._report),
            by=parallel.parallelism(config),
        )
        self._named: set[str] = set()

    def run(
        self,
        state: TrainState,
        frozen,
        summaries: SummaryWriter,
        *,
        abandon: Callable[[], bool] = lambda: False,
    ) -> dict[str, float] | None:
        """Evaluate, log, and draw.

        Args:
          state: the state; its averaged parameters are used where there are any.
          frozen: the objective's frozen arrays, on the devices.
          summaries: where scalars and pictures go.
          abandon: asked after every batch; when it says yes, nothing is logged.

        Returns:
          Mean of every metric over the validation photos, and what the system's report
          says of all of them together; empty without any; None if abandoned.
        """
        step = int(state.step)
        found = self._measure(state, frozen, self._validation, abandon)
        if found is None:
            return None
        means = {}
        if found.metrics:
            means = found.scalars()
            summaries.scalars(step, means, "validation")
            _LOG.info(
                "step %d, validation on %d photos: %s",
                step,
                len(found.collected["index"]),
                ", ".join(f"{name} {value:.4g}" for name, value in means.items()),
            )
            if jax.process_index() == 0:
                labels = read_labels(self._validation.source, found.collected["index"])
                # A program of this process alone, which cannot take global arrays.
                params, model_state = parallel.of_this_process(
                    (state.evaluation_params, state.model_state)
                )
                pictures = self._report.pictures(
                    params, model_state, found.collected, labels
                )
                for name, picture in pictures.items():
                    self._save(summaries, step, name, name, picture)
        self._draw(summaries, step, "validation", found)
        found = self._measure(state, frozen, self._train)
        self._draw(summaries, step, "train", found)
        return means

    def _measure(self, state, frozen, split, abandon=lambda: False) -> Evaluation:
        def apply(batch):
            arrays = {name: batch[name] for name in batch if name != "mask"}
            return parallel.unshard(
                self._evaluate(
                    state.evaluation_params,
                    state.model_state,
                    frozen,
                    parallel.shard_batch(arrays),
                    jax.random.key(self._config.seed),
                )
            )

        return evaluate_batches(
            apply,
            self._batches(split),
            self._report,
            split.source.name,
            num_examples=self._config.evaluation.num_pictures,
            gather=parallel.gather_photos,
            abandon=abandon,
        )

    def _draw(self, summaries, step, name, found: Evaluation) -> None:
        if found.examples:
            rows = example_rows(found.examples.values(), self._report.error_gain)
            tag = f"{name}/reconstructions"
            self._save(summaries, step, name, tag, picture_grid(rows))

    def _save(self, summaries, step, name, tag, picture) -> None:
        summaries.picture(step, tag, picture)
        if jax.process_index() == 0:
            save_png(self._folder / f"{name}_{step:08d}.png", picture)

    def _batches(self, split):
        if not len(split.indices):
            return
        evaluation, data = self._config.evaluation, self._config.data
        with make_loader(
            split.source,
            split.indices,
            batch_size=evaluation.batch_size,
            image_size=evaluation.image_size,
            crop=evaluation.crop,
            make_example=self._make_example,
            seed=self._config.seed,
            shuffle=False,
            num_epochs=1,
            num_threads=data.num_threads,
            **parallel.this_process(),
            # Broken photos are left out and named. Whether there are too many of them
            # is for training to say, which sees the whole set.
            max_broken_share=1.0,
            # Every validation meets the same ones.
            named=self._named,
        ) as loader:
            yield from loader
