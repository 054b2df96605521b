"""Validation during training: metrics over held-out photos, and picture grids."""

import logging
import pathlib

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Source, Split, make_loader
from vgg_unpool_jax.evaluation import (
    MetricSums,
    compute_photo_metrics,
    error_image,
    picture_grid,
    save_png,
)
from vgg_unpool_jax.objectives import RECONSTRUCTION, TARGET, Objective
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.state import TrainState
from vgg_unpool_jax.training.step import make_evaluation_step
from vgg_unpool_jax.training.summaries import SummaryWriter

_LOG = logging.getLogger(__name__)


class Validation:
    """Evaluates a state on validation photos, the same ones every time."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        objective: Objective,
        source: Source,
        split: Split,
        workdir: pathlib.Path,
    ):
        """Choose photos; nothing is read yet.

        Args:
          config: of the run; its section "evaluation" counts here.
          objective: the system.
          source: of all photos.
          split: which of them are for training and validation.
          workdir: pictures go to its folder "pictures".
        """
        self._config, self._source, self._split = config, source, split
        self._folder = workdir / "pictures"
        self._evaluate = parallel.parallelize_evaluation(
            make_evaluation_step(objective, compute_photo_metrics)
        )

    def run(
        self, state: TrainState, frozen, summaries: SummaryWriter
    ) -> dict[str, float]:
        """Evaluate, log, and draw.

        Args:
          state: the state; its averaged parameters are used where there are any.
          frozen: the objective's frozen arrays, on the devices.
          summaries: where scalars and pictures go.

        Returns:
          Mean of every metric over the validation photos; empty without any.
        """
        step = int(state.step)
        limit = self._config.evaluation.num_photos
        photos = self._split.validation[: limit or None]
        means, sums, counted = {}, MetricSums(), 0
        if len(photos):
            for batch in self._batches(photos):
                metrics, _ = self._apply(state, frozen, batch)
                metrics, mask = parallel.gather_photos(metrics, batch["mask"])
                sums.update(metrics, mask)
                counted += int(mask.sum())
        if counted:
            means = {name: entry.mean for name, entry in sums.summary().items()}
            summaries.scalars(step, means, "validation")
            _LOG.info(
                "step %d, validation on %d photos: %s",
                step,
                counted,
                ", ".join(f"{name} {value:.4g}" for name, value in means.items()),
            )
        for name, indices in (("train", self._split.train), ("validation", photos)):
            count = self._config.evaluation.num_pictures
            self._draw(state, frozen, summaries, step, name, indices[:count])
        return means

    def _draw(self, state, frozen, summaries, step, name, indices) -> None:
        if not len(indices):
            return
        rows = []
        for batch in self._batches(indices):
            _, outputs = self._apply(state, frozen, batch)
            images = np.asarray(outputs[RECONSTRUCTION]).clip(0.0, 255.0)
            targets = np.asarray(outputs[TARGET])
            keep = batch["mask"]
            rows.append((batch["image"][keep], images[keep], targets[keep]))
        columns = zip(*rows, strict=True)
        inputs, images, targets = (np.concatenate(column) for column in columns)
        if not len(inputs):  # none of these photos could be read
            return
        grid = picture_grid(
            {
                "input": inputs,
                "reconstruction": images,
                "8x error": error_image(images, targets, gain=8.0),
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

    def _batches(self, indices):
        evaluation, data = self._config.evaluation, self._config.data
        with make_loader(
            self._source,
            indices,
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
        ) as loader:
            yield from loader
