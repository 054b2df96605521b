"""The files that the evaluation of a trained model of any system writes."""

import glob
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.pictures import save_png
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.training.summaries import SummaryWriter

PathLike = str | os.PathLike


def results_file(workdir: PathLike, output: PathLike | None = None) -> pathlib.Path:
    """Path of the result file of an evaluation; call it before the evaluation.

    Args:
      workdir: argument of `load_trained`.
      output: the file given by the user; None for results.json in the workdir.
    """
    if output:
        return to_path(output)
    if index.find(workdir) is not None:
        raise ConfigError(
            f"{workdir} is a released decoder and has no folder for results: name a "
            "file with --output"
        )
    return to_path(workdir) / "results.json"


def evaluation_files(
    workdir: PathLike, output: PathLike | None = None
) -> list[pathlib.Path]:
    """Files that `write_evaluation` will write; of the pictures those that exist."""
    results = results_file(workdir, output)
    if index.find(workdir) is not None:
        return [results, *results.parent.glob(f"{glob.escape(results.stem)}_*.png")]
    return [results, *(to_path(workdir) / "pictures").glob("*.png")]


def write_evaluation(
    workdir: PathLike,
    trained: Any,
    score: Any,
    facts: Mapping[str, Any],
    output: PathLike | None = None,
) -> list[pathlib.Path]:
    """Write an evaluation: a result file, pictures, and both in TensorBoard.

    A released decoder has no workdir: its pictures are written beside the result file,
    with the file's name as prefix, and nothing is written for TensorBoard.

    Args:
      workdir: argument of `load_trained`.
      trained: the evaluated model.
      score: result of `trained.evaluate`.
      facts: about the photos, written with the numbers.
      output: the result file; None for results.json in the workdir.

    Returns:
      The files that people read: the result file, then the pictures.
    """
    results, release = results_file(workdir, output), index.find(workdir)
    place = workdir if release is None else None
    record = {
        "vgg19_weights": trained.record,
        "training_steps": trained.step,
        "provenance": provenance(trained.config, workdir=place),
    }
    if release is not None:
        digest = file_digest(release, "sha256")
        record["released_decoder"] = {"file": release.name, "sha256": digest}
    write_results(results, {**score.to_dict(), **facts, **record})
    pictures = score.pictures()
    if release is None:
        folder, prefix = to_path(workdir) / "pictures", ""
        _write_summaries(workdir, trained.step, score, pictures)
    else:
        folder, prefix = results.parent, f"{results.stem}_"
    files = [results]
    for name, picture in pictures.items():
        files.append(folder / f"{prefix}{name}.png")
        save_png(files[-1], picture)
    return files


def _write_summaries(workdir, step, score, pictures):
    folder = to_path(workdir) / "tensorboard" / "evaluation"
    with SummaryWriter(folder, first_step=step) as summaries:
        summaries.scalars(step, score.scalars(), "evaluation")
        for name, picture in pictures.items():
            summaries.picture(step, f"evaluation/{name}", picture)
