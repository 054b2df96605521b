"""The trained system of a workdir, whichever it is, and what its evaluation leaves."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.evaluation import (
    ReconstructionScore,
    provenance,
    save_png,
    write_results,
)
from vgg_unpool_jax.evaluation.vae_score import VAEScore
from vgg_unpool_jax.pairs import Pair, load_pair
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.summaries import SummaryWriter
from vgg_unpool_jax.vaes import TrainedVAE, load_vae

PathLike = str | os.PathLike


def load_trained(
    workdir: PathLike, weights: PathLike | None = None
) -> Pair | TrainedVAE:
    """Load what a run trained.

    Both have `reconstruct`, `reconstruct_photo`, `prepare`, `evaluate`, `describe`,
    `config`, `step`, `record`, `crop`, `image_size` and `error_gain`.

    Args:
      workdir: folder of a training run.
      weights: a VGG19 weight file; see `load_pair` and `load_vae`.

    Raises:
      ConfigError: when the folder is no workdir.
      CheckpointError: when there is no checkpoint in it.
      WeightsError, WeightsMismatchError: as `load_pair`.
    """
    if run_config.read(workdir).get("system") == "vae":
        return load_vae(workdir, weights)
    return load_pair(workdir, weights)


def write_evaluation(
    workdir: PathLike,
    trained: Pair | TrainedVAE,
    score: ReconstructionScore | VAEScore,
    facts: Mapping[str, Any],
    output: PathLike | None = None,
) -> list[pathlib.Path]:
    """Keep an evaluation: a result file, pictures, and both in TensorBoard.

    Args:
      workdir: folder of the training run.
      trained: what was evaluated.
      score: what `trained.evaluate` found.
      facts: what was evaluated on; stands beside the numbers.
      output: the result file; None is results.json in the workdir.

    Returns:
      The files that people read: the result file, then the pictures.
    """
    workdir = pathlib.Path(workdir)
    results = pathlib.Path(output or workdir / "results.json")
    record = {
        "vgg19_weights": trained.record,
        "training_steps": trained.step,
        "provenance": provenance(trained.config, workdir=workdir),
    }
    write_results(results, {**score.to_dict(), **facts, **record})
    files = [results]
    folder = workdir / "tensorboard" / "evaluation"
    with SummaryWriter(folder, first_step=trained.step) as summaries:
        summaries.scalars(trained.step, score.scalars(), "evaluation")
        for name, picture in score.pictures().items():
            summaries.picture(trained.step, f"evaluation/{name}", picture)
            files.append(workdir / "pictures" / f"{name}.png")
            save_png(files[-1], picture)
    return files
