"""Pairs of picture files, such as originals and a codec's results, in numbers."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.folder import FolderSource
from vgg_unpool_jax.errors import PhotoError, SourceError
from vgg_unpool_jax.evaluation.metrics import (
    METRICS,
    PERCEPTUAL_METRICS,
    compute_photo_metrics,
    missing_metrics,
)
from vgg_unpool_jax.evaluation.perceptual import PerceptualMetric, compute_perceptual
from vgg_unpool_jax.evaluation.statistics import Summary, summarize
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.ops.placing import on_device

INFOS = {**METRICS, **PERCEPTUAL_METRICS}

_compute_photo_metrics = jax.jit(compute_photo_metrics)


@dataclasses.dataclass(frozen=True)
class FilePair:
    """Two pictures of one name.

    Attributes:
      name: path within the folders, without extension; of two files, the name of the
        first.
      a: one file.
      b: the other.
    """

    name: str
    a: pathlib.Path
    b: pathlib.Path

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Both as uint8 (h, w, 3) RGB; raises `PhotoError` unless their sizes agree."""
        a, b = (
            decode_photo(path, str(path), tell_alpha=True) for path in (self.a, self.b)
        )
        if a.shape != b.shape:
            sizes = (f"{x.shape[1]}×{x.shape[0]}" for x in (a, b))
            raise PhotoError(
                f"{self.a} and {self.b} must have the same size, got "
                f"{' and '.join(sizes)} pixels"
            )
        return a, b


def list_pairs(a: str | os.PathLike, b: str | os.PathLike) -> list[FilePair]:
    """Pair pictures by name.

    Args:
      a: a file, or a folder that is searched in depth.
      b: a file or folder. Two files are a pair whatever their names; in folders, names
        are compared without their extensions, and every picture needs a partner. A file
        beside a folder is compared with the one of its name.
    """
    a, b = to_path(a), to_path(b)
    if a.is_file() and b.is_file():
        return [FilePair(a.stem, a, b)]
    found_a, found_b = _by_name(a), _by_name(b)
    if a.is_file():
        found_b = {name: path for name, path in found_b.items() if name in found_a}
    if b.is_file():
        found_a = {name: path for name, path in found_a.items() if name in found_b}
    for here, there, folder in ((found_a, found_b, b), (found_b, found_a, a)):
        if alone := [path for name, path in here.items() if name not in there]:
            shown = ", ".join(map(str, alone[:3])) + (", …" if alone[3:] else "")
            raise SourceError(
                f"{len(alone)} of {len(here)} pictures have no picture of their name "
                f"in {folder}: {shown}"
            )
    return [FilePair(name, path, found_b[name]) for name, path in found_a.items()]


def _by_name(path: pathlib.Path) -> dict[str, pathlib.Path]:
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise SourceError(f"there is no photo or folder {path}")
    folder, found = FolderSource(path), {}
    for index in range(len(folder)):
        file = pathlib.PurePath(folder.name(index))
        name = file.with_suffix("").as_posix()
        if name in found:
            raise SourceError(
                f"{path} has both {found[name].name} and {file.name}, which have one "
                "name"
            )
        found[name] = path / file
    return found


def compare(
    a: np.ndarray, b: np.ndarray, perceptual: Sequence[PerceptualMetric] = ()
) -> dict[str, float]:
    """All metrics of two photos.

    Args:
      a: (h, w, 3) RGB in [0, 255].
      b: the same shape.
      perceptual: metrics that need weights.

    Returns:
      Values by the keys of `INFOS`, without what this size is too small for.
    """
    a, b = (on_device(photo, jnp.float32)[None] for photo in (a, b))
    found = _compute_photo_metrics(a, b) | compute_perceptual(perceptual, a, b)
    return {name: float(found[name][0]) for name in INFOS if name in found}


def too_small(
    sizes: Sequence[tuple[int, int]], perceptual: Sequence[PerceptualMetric] = ()
) -> list[str]:
    """Sentences for metrics that the smallest of photos (height, width) lack."""
    size = tuple(map(min, zip(*sizes, strict=True)))
    return [
        *missing_metrics(*size).values(),
        *(metric.too_small(*size) for metric in perceptual if not metric.fits(*size)),
    ]


def summaries(scores: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    """Mean and 95 % interval of each metric, over the pairs that have it."""
    found = {}
    for name, info in INFOS.items():
        if values := [score[name] for score in scores if name in score]:
            found[name] = summarize(np.array(values), info.bounds)
    return found


def score_text(score: Mapping[str, float]) -> str:
    """The values of a pair on one line."""
    return ", ".join(map(functools.partial(_value_text, score), score))


def _value_text(score: Mapping[str, float], name: str) -> str:
    info = INFOS[name]
    unit = f" {info.unit}" if name == "psnr" else ""
    return f"{info.title} {score[name]:.{info.decimals}f}{unit}"
