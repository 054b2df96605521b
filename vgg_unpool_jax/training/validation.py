"""Validation during training: metrics over held-out photos, and picture grids."""

import logging
import pathlib
from collections.abc import Callable, Mapping

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split, make_loader
from vgg_unpool_jax.evaluation.metrics import compute_photo_metrics
from vgg_unpool_jax.evaluation.pictures import error_image, picture_grid, save_png
from vgg_unpool_jax.evaluation.reports import Report, read_labels
from vgg_unpool_jax.evaluation.statistics import MetricSums
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.state import TrainState
from vgg_unpool_jax.training.step import make_evaluation_step
from vgg_unpool_jax.training.summaries import SummaryWriter
from vgg_unpool_jax.training.system import RECONSTRUCTION, TARGET, Objective

_LOG = logging.getLogger(__name__)


class Validation:
    """Evaluates a state on validation photos, the same ones every time."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        objective: Objective,
        report: Report,
        parts: Mapping[str, Split],
        workdir: pathlib.Path,
    ):
        """Choose photos; nothing is read yet.

        Args:
          config: of the run; its section "evaluation" counts here.
          objective: the system's.
          report: the system's.
          parts: photos to train and to validate on.
          workdir: pictures go to its folder "pictures".
        """
        self._config = config
        limit = config.evaluation.num_photos
        validation = parts["validation"]
        self._parts = {
            "train": parts["train"],
            "validation": validation._replace(
                indices=validation.indices[: limit or None]
            ),
        }
        self._folder = workdir / "pictures"
        self._report = report
        self._evaluate = parallel.parallelize_evaluation(
            make_evaluation_step(objective, compute_photo_metrics, self._report.collect)
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
        means, sums, parts, counted = {}, MetricSums(), [], 0
        for batch in self._batches(self._parts["validation"]):
            metrics, collected, _ = self._apply(state, frozen, batch)
            collected["index"] = batch["index"]
            values, mask = parallel.gather_photos(
                {"metrics": metrics, "collected": collected}, batch["mask"]
            )
            sums.update(values["metrics"], mask)
            parts.append(jax.tree.map(lambda x, m=mask: x[m], values["collected"]))
            counted += int(mask.sum())
            if abandon():
                return None
        if counted:
            means = {name: entry.mean for name, entry in sums.summary().items()}
            collected = jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
            # In one order, however many processes there are.
            order = np.argsort(collected["index"], kind="stable")
            collected = {name: rows[order] for name, rows in collected.items()}
            means |= self._report.scalars(collected)
            summaries.scalars(step, means, "validation")
            _LOG.info(
                "step %d, validation on %d photos: %s",
                step,
                counted,
                ", ".join(f"{name} {value:.4g}" for name, value in means.items()),
            )
            if jax.process_index() == 0:
                labels = read_labels(
                    self._parts["validation"].source, collected["index"]
                )
                pictures = self._report.pictures(
                    state.evaluation_params, state.model_state, collected, labels
                )
                for name, picture in pictures.items():
                    summaries.picture(step, name, picture)
                    save_png(self._folder / f"{name}_{step:08d}.png", picture)
        for name, part in self._parts.items():
            self._draw(state, frozen, summaries, step, name, part)
        return means

    def _draw(self, state, frozen, summaries, step, name, part) -> None:
        first = part._replace(
            indices=part.indices[: self._config.evaluation.num_pictures]
        )
        rows = []
        for batch in self._batches(first):
            _, _, outputs = self._apply(state, frozen, batch)
            images = np.asarray(outputs[RECONSTRUCTION]).clip(0.0, 255.0)
            targets = np.asarray(outputs[TARGET])
            keep = batch["mask"]
            rows.append((batch["image"][keep], images[keep], targets[keep]))
        if not any(len(inputs) for inputs, _, _ in rows):  # none, or none readable
            return
        columns = zip(*rows, strict=True)
        inputs, images, targets = (np.concatenate(column) for column in columns)
        gain = self._report.error_gain
        grid = picture_grid(
            {
                "input": inputs,
                "reconstruction": images,
                f"{gain:g}x error": error_image(images, targets, gain=gain),
            }
        )
        summaries.picture(step, f"{name}/reconstructions", grid)
        if jax.process_index() == 0:
            save_png(self._folder / f"{name}_{step:08d}.png", grid)

    def _apply(self, state, frozen, batch):
        sharded = parallel.shard_batch(
            {"image": batch["image"], "index": batch["index"]}
        )
        outputs = self._evaluate(
            state.evaluation_params,
            state.model_state,
            frozen,
            sharded,
            jax.random.key(self._config.seed),
        )
        return jax.device_get(parallel.unshard(outputs))

    def _batches(self, part):
        if not len(part.indices):
            return
        evaluation, data = self._config.evaluation, self._config.data
        with make_loader(
            part.source,
            part.indices,
            batch_size=evaluation.batch_size,
            image_size=evaluation.image_size,
            crop=evaluation.crop,
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
