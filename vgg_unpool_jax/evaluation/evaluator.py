"""The evaluator of validation and of `evaluate`; each photo counts once."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from vgg_unpool_jax.data import Loader, Source, check_crop, make_loader
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.evaluation.artefacts import COLOR_ERRORS
from vgg_unpool_jax.evaluation.perceptual import PerceptualMetric, compute_perceptual
from vgg_unpool_jax.evaluation.pictures import error_image, picture_grid
from vgg_unpool_jax.evaluation.reports import (
    INPUT,
    OUTPUT,
    TARGET,
    Report,
    read_labels,
)
from vgg_unpool_jax.evaluation.results import format_table
from vgg_unpool_jax.evaluation.statistics import Summary, summarize

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
      system_report: of the system, which has the names of the metrics.
      metrics: mean, 95 % interval and photo count of each metric.
      collected: arrays of all photos in the order of their "index", (photos, ...).
      examples: the first photos by name: "input", "output" and "target", each
        (h, w, 3) float32 in [0, 255].
      photos: the metrics of each photo by its name.
      size: height and width of the photo with the shortest side, in pixels; None
        without any.
      too_small: photos that the crop does not fit into, name to (height, width).
      broken: photos that could not be read, name to reason.
      drawn: the report's pictures by name, uint8.
      perceptual: metrics that need weights, which were asked for.
    """

    system_report: Report
    metrics: dict[str, Summary]
    collected: dict[str, np.ndarray]
    examples: dict[str, dict[str, np.ndarray]]
    photos: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    size: tuple[int, int] | None = None
    too_small: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    drawn: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    perceptual: Sequence[PerceptualMetric] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, ready for `write_results`."""
        return {
            "metrics": {k: dataclasses.asdict(v) for k, v in self.metrics.items()},
            **self.system_report.results(self.metrics, self.collected),
            "image_size": min(self.size) if self.size else None,
            "photos": self.photos,
            "too_small": self.too_small,
            "broken": self.broken,
            "perceptual_weights": {m.name: m.record for m in self.perceptual},
        }

    def scalars(self) -> dict[str, float]:
        """Mean of each metric, and the report's numbers of the whole set."""
        means = {name: entry.mean for name, entry in self.metrics.items()}
        return means | self.system_report.scalars(self.collected)

    def report(self) -> str:
        """Tables for people, and a line for each photo that was left out."""
        shown = {k: v for k, v in self.metrics.items() if k not in COLOR_ERRORS}
        lines = [format_table(shown, self.system_report.metrics)]
        lines += self.system_report.lines(self.metrics, self.collected, self.size)
        lines += [
            m.too_small(*self.size) for m in self.perceptual if not m.fits(*self.size)
        ]
        lines += [
            f"left out, too small for the crop: {name} ({height}×{width})"
            for name, (height, width) in self.too_small.items()
        ]
        lines += [
            f"left out, cannot be read: {name} ({reason})"
            for name, reason in self.broken.items()
        ]
        return "\n".join(lines)

    def pictures(self) -> dict[str, np.ndarray]:
        """The grid of examples as "evaluation", and the report's pictures."""
        if not self.examples:
            return dict(self.drawn)
        rows = example_rows(self.examples.values(), self.system_report.error_gain)
        # One example a column.
        columns = zip(*rows.values(), strict=True)
        named = zip(self.examples, columns, strict=True)
        grid = picture_grid({name: np.stack(images) for name, images in named})
        return {"evaluation": grid, **self.drawn}


def example_rows(
    examples: Iterable[Mapping[str, np.ndarray]], gain: float
) -> dict[str, np.ndarray]:
    """Images of a grid, by their titles: the model's input, its output, the error.

    The target has its own row if it is not the input.

    Args:
      examples: "input", "output" and "target" of each photo, (h, w, 3) in [0, 255];
        larger photos are cropped to the size of the smallest.
      gain: factor by which the error is amplified.

    Returns:
      Arrays (n, h, w, 3).
    """
    examples = list(examples)
    height, width = (
        min(images[TARGET].shape[axis] for images in examples) for axis in (0, 1)
    )
    inputs, outputs, targets = (
        np.stack([images[name][:height, :width] for images in examples])
        for name in (INPUT, OUTPUT, TARGET)
    )
    rows = {"input": inputs, "reconstruction": outputs}
    if not np.array_equal(inputs, targets):
        rows["target"] = targets
    return {**rows, f"{gain:g}x error": error_image(outputs, targets, gain=gain)}


def evaluate_batches(
    apply: Callable,
    batches: Iterable[Mapping[str, np.ndarray]],
    report: Report,
    name_of: Callable[[int], str],
    *,
    num_examples: int,
    gather: Callable = lambda values, mask: (values, mask),
    abandon: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Evaluate batches and average over their photos.

    Args:
      apply: batch -> (metrics, collected, outputs), arrays with a leading photo axis.
      batches: as from a loader.
      report: of the system.
      name_of: number of a photo in the source -> its name.
      num_examples: how many photos to keep for pictures.
      gather: (arrays of photos, mask) -> the same of the photos of all processes.
      abandon: asked after each batch, whether to stop.

    Returns:
      The evaluation, without metrics if there was no photo; None if abandoned.
    """
    kept, examples, sizes = [], {}, set()
    for batch in batches:
        mask = batch["mask"]
        if not batch["image"].size:
            continue  # an unreadable photo of the crop "whole" has no shape
        metrics, collected, outputs = apply(batch)
        if OUTPUT in outputs:
            sizes.add(outputs[TARGET].shape[1:3])
            for row in np.flatnonzero(mask)[: num_examples - len(examples)]:
                examples[name_of(int(batch["index"][row]))] = {
                    name: np.asarray(outputs[name][row], np.float32).clip(0.0, 255.0)
                    for name in (INPUT, OUTPUT, TARGET)
                }
        collected = {**collected, "index": batch["index"]}
        arrays, mask = gather(jax.device_get((metrics, collected)), mask)
        kept.append(jax.tree.map(lambda rows, m=mask: rows[m], arrays))
        if abandon():
            return None
    metrics = _in_order([{**m, "index": c["index"]} for m, c in kept])
    metrics.pop("index", None)
    photos = {
        int(number): {name: float(values[row]) for name, values in found.items()}
        for found, collected in kept
        for row, number in enumerate(collected["index"])
    }
    summaries = {
        name: summarize(values, report.metrics[name].bounds)
        if name in report.metrics
        else summarize(values)
        for name, values in metrics.items()
    }
    return Evaluation(
        report,
        summaries,
        _in_order([c for _, c in kept]),
        examples,
        {name_of(number): photos[number] for number in sorted(photos)},
        min(sizes, key=min, default=None),
    )


def _in_order(batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays of all photos, by the photos' numbers; {} without any photo.

    The order does not depend on the number of processes. An array that small photos
    lack has the rows of the others.
    """
    batches = [batch for batch in batches if len(batch["index"])]
    found = {}
    for name in dict.fromkeys(name for batch in batches for name in batch):
        having = [batch for batch in batches if name in batch]
        rows, index = (
            np.concatenate([batch[key] for batch in having]) for key in (name, "index")
        )
        found[name] = rows[np.argsort(index, kind="stable")]
    return found


def evaluate_split(
    compute_outputs: Callable[[Mapping[str, np.ndarray]], Mapping[str, jax.Array]],
    report: Report,
    source: Source,
    indices: np.ndarray,
    *,
    image_size: int,
    crop: str = "center",
    batch_size: int = 8,
    num_examples: int = 6,
    max_broken_share: float = 0.01,
    make_example: Callable | None = None,
    seed: int = 0,
    variables: tuple[PyTree, PyTree] = ({}, {}),
    perceptual: Sequence[PerceptualMetric] = (),
) -> Evaluation:
    """Evaluate a trained model over some photos of a source.

    Args:
      compute_outputs: batch of the loader -> the outputs of an objective, see
        `training/system.Aux`; outputs are clipped to [0, 255] before they are compared.
      report: of the system.
      source: the photos.
      indices: which of them.
      image_size: side of the square crops in pixels.
      crop: "center" (native resolution; photos that are too small are named and left
        out), "center_resize" (the largest square, resized), "whole" or another of
        `data/crops` that is not random.
      batch_size: photos at a time; one at a time for the crop "whole".
      num_examples: how many photos to keep for a picture.
      max_broken_share: share of unreadable photos above which the evaluation stops.
      make_example: see `training/system.System`.
      seed: of the draws of `make_example`.
      variables: params and model state, for the report's pictures.
      perceptual: metrics that need weights, of `evaluation.perceptual`.
    """
    check_crop(crop, allow_random=False)
    if not len(indices):
        raise UserError(f"there is no photo to evaluate of {source!r}")
    measure = jax.jit(
        lambda outputs: (report.photo_metrics(outputs), report.collect(outputs))
    )

    def apply(batch):
        outputs = compute_outputs(batch)
        metrics, collected = measure(outputs)
        if OUTPUT in outputs:
            images = outputs[OUTPUT], outputs[TARGET]
            metrics |= compute_perceptual(perceptual, *images)
        return metrics, collected, outputs

    with make_loader(
        source,
        indices,
        batch_size=1 if crop == "whole" else min(batch_size, len(indices)),
        image_size=image_size,
        crop=crop,
        make_example=make_example,
        seed=seed,
        shuffle=False,
        num_epochs=1,
        max_broken_share=max_broken_share,
    ) as loader:
        found = evaluate_batches(
            apply, loader, report, source.name, num_examples=max(num_examples, 1)
        )
        found = dataclasses.replace(found, perceptual=perceptual)
        return _complete(found, loader, source, indices, image_size, variables)


def _complete(
    found: Evaluation,
    loader: Loader,
    source: Source,
    indices: Sequence[int],
    image_size: int,
    variables: tuple[PyTree, PyTree],
) -> Evaluation:
    too_small, broken = dict(loader.too_small), dict(loader.broken)
    if not found.metrics:
        raise UserError(
            f"none of the {len(indices)} photos could be evaluated at {image_size}×"
            f"{image_size}: {len(too_small)} are too small and {len(broken)} cannot be "
            "read"
        )
    labels = read_labels(source, found.collected["index"])
    drawn = found.system_report.pictures(*variables, found.collected, labels)
    return dataclasses.replace(found, too_small=too_small, broken=broken, drawn=drawn)
