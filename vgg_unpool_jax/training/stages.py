"""Sizes of crops and batches that change at given shares of a run.

`data.stages` lists (share of the run, image_size, batch_size): from that share of the
steps on, crops and batches have these sizes, until the next stage. Before the first
one `data.image_size` and `data.batch_size` count. Each stage goes on in the stream of
examples where the one before it ended, so a run resumes at any step.
"""

import dataclasses
from collections.abc import Callable
from typing import Self

import ml_collections
import numpy as np

from vgg_unpool_jax.data import Loader
from vgg_unpool_jax.data.resident import ResidentLoader
from vgg_unpool_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a run with one size of crops and batches.

    Attributes:
      field: of the config, for messages.
      first_step: number of steps before the stage.
      end_step: number of steps at its end.
      first_example: number of examples of all stages before it.
      image_size: side of the crops in pixels.
      batch_size: photos of a step over all devices.
    """

    field: str
    first_step: int
    end_step: int
    first_example: int
    image_size: int
    batch_size: int

    def examples(self, step: int) -> int:
        """Number of examples of the run after `step` steps, a step of this stage."""
        return self.first_example + (step - self.first_step) * self.batch_size


def make_stages(data: ml_collections.ConfigDict, total_steps: int) -> tuple[Stage, ...]:
    """The stages of a run, without those that are too short for a step.

    Args:
      data: the section of the config.
      total_steps: of the run.
    """
    sizes = _sizes(data)
    bounds = [round(share * total_steps) for _, share, *_ in sizes] + [total_steps]
    stages, examples = [], 0
    for (field, _, image_size, batch_size), first, end in zip(
        sizes, bounds[:-1], bounds[1:], strict=True
    ):
        if end > first:
            stages.append(Stage(field, first, end, examples, image_size, batch_size))
            examples = stages[-1].examples(end)
    return tuple(stages)


def batch_sizes(data: ml_collections.ConfigDict) -> list[int]:
    """Number of photos of a step in each stage of the section `data`."""
    return [batch_size for *_, batch_size in _sizes(data)]


def mean_batch_size(data: ml_collections.ConfigDict) -> float:
    """Mean number of photos of a step over the whole run."""
    sizes = _sizes(data)
    ends = [share for _, share, *_ in sizes[1:]] + [1.0]
    return sum(
        (end - share) * batch_size
        for (_, share, _, batch_size), end in zip(sizes, ends, strict=True)
    )


def examples_seen(data: ml_collections.ConfigDict, step: int, total_steps: int) -> int:
    """Number of examples of the first `step` steps of a run."""
    return stage_at(make_stages(data, total_steps), step).examples(step)


def stage_at(stages: tuple[Stage, ...], step: int) -> Stage:
    """The stage that does the step after `step`, or the last one at the end."""
    return next((stage for stage in stages if step < stage.end_step), stages[-1])


def _sizes(data) -> list[tuple[str, float, int, int]]:
    """(field, share of the run at the beginning, image_size, batch_size) by stage."""
    sizes = [("data", 0.0, data.image_size, data.batch_size)]
    # Absent in runs that are older than the field.
    for number, stage in enumerate(data.get("stages", ())):
        field = f"data.stages[{number}]"
        if len(stage) != 3 or not sizes[-1][1] < stage[0] < 1:
            raise ConfigError(
                f"{field} must be (share of the run, image_size, batch_size) with a "
                f"share above that of the stage before it and below 1, got {stage!r}"
            )
        sizes.append((field, *stage))
    return sizes


class StagedLoader:
    """Training batches of one stage after the other; use as a context manager.

    Attributes:
      broken: name -> reason of the photos that could not be read so far.
    """

    def __init__(
        self,
        stages: tuple[Stage, ...],
        step: int,
        open_loader: Callable[[Stage, int], Loader | ResidentLoader],
    ):
        """Open the loader of the stage in which the run is.

        Args:
          stages: of the run.
          step: number of steps that are done.
          open_loader: (stage, number of its batches to skip) -> loader.
        """
        self._stages, self._step, self._open = stages, step, open_loader
        self.broken: dict[str, str] = {}
        self._stage: Stage | None = None
        self._loader: Loader | ResidentLoader | None = None
        self._follow()

    def __next__(self) -> dict[str, np.ndarray]:
        """The batch of the next step."""
        self._follow()
        batch = next(self._loader)
        self._step += 1
        self.broken |= self._loader.broken
        return batch

    def close(self) -> None:
        """Stop the readers."""
        if self._loader is not None:
            self._loader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _follow(self) -> None:
        stage = stage_at(self._stages, self._step)
        if stage is not self._stage:
            self.close()
            self._loader = self._open(stage, self._step - stage.first_step)
            self._stage = stage
