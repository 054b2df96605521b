"""How well a pair rebuilds the photos of a source."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from vgg_unpool_jax.data import Source, make_loader
from vgg_unpool_jax.evaluation.metrics import compute_photo_metrics
from vgg_unpool_jax.evaluation.statistics import MetricSums, Summary


class NothingEvaluatedError(ValueError):
    """No photo was left to evaluate; the message says why."""


@dataclasses.dataclass(frozen=True)
class ReconstructionScore:
    """What an evaluation found.

    Attributes:
      metrics: mean, 95 % interval and photo count of each metric.
      too_small: photos that the crop does not fit into, name to (height, width).
      broken: photos that could not be read, name to reason.
      examples: "input" and "reconstruction" of the first photos, (n, s, s, 3) in
        [0, 255].
    """

    metrics: dict[str, Summary]
    too_small: dict[str, tuple[int, int]]
    broken: dict[str, str]
    examples: dict[str, np.ndarray]


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
) -> ReconstructionScore:
    """Rebuild every photo once and average the metrics over photos.

    Args:
      reconstruct: images (n, s, s, 3) float32 in [0, 255] to reconstructions of the
        same shape; they are clipped to [0, 255] before they are compared.
      source: the photos.
      indices: which of them.
      image_size: side s of the square crops in pixels.
      crop: "center" (native resolution; photos that are too small are named and left
        out) or "center_resize" (the largest square, resized).
      batch_size: photos at a time.
      num_examples: how many photos to keep for a picture.
      max_broken_share: share of unreadable photos above which the evaluation stops.

    Raises:
      NothingEvaluatedError: when not a single photo could be evaluated.
      BrokenPhotosError, SourceError: for photos that cannot be read.
    """
    measure = jax.jit(compute_photo_metrics)
    sums, inputs, outputs = MetricSums(), [], []
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
            sums.update(measure(reconstructions, images), mask)
            if sum(map(len, inputs)) < num_examples:
                inputs.append(images[mask])
                outputs.append(np.asarray(reconstructions)[mask])
        too_small, broken = dict(loader.too_small), dict(loader.broken)
    if len(too_small) + len(broken) >= len(indices):
        raise NothingEvaluatedError(
            f"none of the {len(indices)} photos could be evaluated at {image_size}×"
            f"{image_size}: {len(too_small)} are too small and {len(broken)} cannot be "
            "read"
        )
    examples = {
        "input": np.concatenate(inputs)[:num_examples],
        "reconstruction": np.concatenate(outputs)[:num_examples].clip(0.0, 255.0),
    }
    return ReconstructionScore(sums.summary(), too_small, broken, examples)
