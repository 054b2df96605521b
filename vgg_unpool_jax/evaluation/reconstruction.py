"""How well a pair rebuilds the photos of a source."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vgg_unpool_jax.data import Source, check_crop, make_loader
from vgg_unpool_jax.errors import ConfigError, UserError
from vgg_unpool_jax.evaluation.artefacts import (
    COLOR_ERRORS,
    GridSums,
    compute_artefacts,
    missing_artefacts,
    phase_counts,
    ratio,
)
from vgg_unpool_jax.evaluation.metrics import compute_photo_metrics, missing_metrics
from vgg_unpool_jax.evaluation.pictures import error_image, picture_grid
from vgg_unpool_jax.evaluation.results import format_table
from vgg_unpool_jax.evaluation.statistics import MetricSums, Summary


@dataclasses.dataclass(frozen=True)
class ReconstructionScore:
    """What an evaluation found.

    Attributes:
      metrics: mean, 95 % interval and photo count of each metric.
      grid_ratios: how uneven the error is over the phases of a pixel grid, by its
        period, see `GridSums`; empty for crops below 48 pixels.
      image_size: side of the evaluated crops in pixels.
      too_small: photos that the crop does not fit into, name to (height, width).
      broken: photos that could not be read, name to reason.
      examples: the first photos by name: input and reconstruction, (2, s, s, 3) in
        [0, 255].
      error_gain: how often pictures amplify errors.
    """

    metrics: dict[str, Summary]
    grid_ratios: dict[int, float]
    image_size: int
    too_small: dict[str, tuple[int, int]]
    broken: dict[str, str]
    examples: dict[str, np.ndarray]
    error_gain: float = 8.0

    @property
    def border_ratio(self) -> float | None:
        """L1 of the border to that of the centre; None for crops below 48 pixels."""
        if "border_l1" not in self.metrics:
            return None
        return ratio(self.metrics["border_l1"].mean, self.metrics["center_l1"].mean)

    def to_dict(self) -> dict[str, Any]:
        """Metrics, artefacts and what was left out, ready for `write_results`."""
        metrics = {k: dataclasses.asdict(v) for k, v in self.metrics.items()}
        return {
            "metrics": metrics,
            "border_ratio": self.border_ratio,
            "grid_ratios": {str(k): v for k, v in self.grid_ratios.items()},
            "image_size": self.image_size,
            "too_small": self.too_small,
            "broken": self.broken,
        }

    def scalars(self) -> dict[str, float]:
        """Mean of each metric."""
        return {name: entry.mean for name, entry in self.metrics.items()}

    def report(self) -> str:
        """A table for people, and a line for everything that was left out."""
        shown = {k: v for k, v in self.metrics.items() if k not in COLOR_ERRORS}
        lines = [format_table(shown), *self._artefact_lines()]
        lines += missing_metrics(self.image_size, self.image_size).values()
        lines += [
            f"left out, too small for the crop: {name} ({height}×{width})"
            for name, (height, width) in self.too_small.items()
        ]
        lines += [
            f"left out, cannot be read: {name} ({reason})"
            for name, reason in self.broken.items()
        ]
        return "\n".join(lines)

    def _artefact_lines(self) -> list[str]:
        colors = (f"{self.metrics[name].mean:+.3f}" for name in COLOR_ERRORS)
        red, green, blue = colors
        lines = [f"colour error, output - input: red {red}, green {green}, blue {blue}"]
        left_out = missing_artefacts(self.image_size, self.image_size)
        if left_out:
            return [*lines, left_out]
        grids = (f"{value:.3f} at {key}" for key, value in self.grid_ratios.items())
        return [
            f"border L1 / centre L1: {self.border_ratio:.3f}",
            *lines,
            f"grid, worst / best pixel phase (1 is none): {', '.join(grids)} pixels",
        ]

    def pictures(self) -> dict[str, np.ndarray]:
        """The one picture, by its name."""
        return {"evaluation": self.picture()}

    def picture(self) -> np.ndarray:
        """One example a column: input, reconstruction, amplified error, uint8."""
        return picture_grid(
            {
                name: np.concatenate(
                    [pair, error_image(pair[1:], pair[:1], gain=self.error_gain)]
                )
                for name, pair in self.examples.items()
            }
        )


def evaluate_reconstruction(
    reconstruct: Callable,
    source: Source,
    indices: np.ndarray,
    *,
    image_size: int,
    crop: str = "center",
    batch_size: int = 8,
    num_examples: int = 6,
    max_broken_share: float = 0.01,
    observe: Callable | None = None,
) -> ReconstructionScore:
    """Rebuild every photo once and average the metrics over photos.

    Args:
      reconstruct: images (n, s, s, 3) float32 in [0, 255] to reconstructions of the
        same shape; they are clipped to [0, 255] before they are compared.
      source: the photos.
      indices: which of them.
      image_size: side s of the square crops in pixels.
      crop: "center" (native resolution; photos that are too small are named and left
        out), "center_resize" (the largest square, resized) or another of `data/crops`
        that is not random.
      batch_size: photos at a time.
      num_examples: how many photos to keep for a picture.
      max_broken_share: share of unreadable photos above which the evaluation stops.
      observe: called with every batch of the loader and its reconstructions, for
        whatever else is to be measured.
    """
    try:
        check_crop(crop, allow_random=False)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not len(indices):
        raise UserError(f"there is no photo to evaluate of {source!r}")
    measure = jax.jit(_measure)
    sums, grid, examples = MetricSums(), GridSums(), {}
    with make_loader(
        source,
        indices,
        batch_size=min(batch_size, len(indices)),
        image_size=image_size,
        crop=crop,
        seed=0,
        shuffle=False,
        num_epochs=1,
        max_broken_share=max_broken_share,
    ) as loader:
        for batch in loader:
            images, mask = batch["image"].astype(np.float32), batch["mask"]
            reconstructions = reconstruct(images)
            values, phase_errors = measure(reconstructions, images)
            sums.update(values, mask)
            if phase_errors is not None:
                grid.update(phase_errors, phase_counts(image_size, image_size), mask)
            if observe is not None:
                observe(batch, reconstructions)
            for place in np.flatnonzero(mask)[: num_examples - len(examples)]:
                pair = np.stack([images[place], reconstructions[place]])
                name = source.name(int(batch["index"][place]))
                examples[name] = pair.clip(0.0, 255.0)
        too_small, broken = dict(loader.too_small), dict(loader.broken)
    if len(too_small) + len(broken) >= len(indices):
        raise UserError(
            f"none of the {len(indices)} photos could be evaluated at {image_size}×"
            f"{image_size}: {len(too_small)} are too small and {len(broken)} cannot be "
            "read"
        )
    return ReconstructionScore(
        metrics=sums.summary(),
        grid_ratios=grid.ratios(),
        image_size=image_size,
        too_small=too_small,
        broken=broken,
        examples=examples,
    )


def _measure(predictions, targets):
    metrics, phase_errors = compute_artefacts(predictions, targets)
    return compute_photo_metrics(predictions, targets) | metrics, phase_errors
