"""From a config to a released decoder: train, evaluate, export, from any state.

A folder holds the releases of all blocks:

    blockN/                    the workdir of the run
    blockN/results.json        its evaluation on the test photos
    blockN/training_time.json  how long it was trained, and on what
    vgg19-blockN.safetensors   the decoder, with a model card vgg19-blockN.md
    table.md                   one row a block
"""

import contextlib
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from vgg_unpool_jax.data import Part
from vgg_unpool_jax.evaluation import provenance, read_results, write_results
from vgg_unpool_jax.evaluation.release_table import read_pair_results, release_table
from vgg_unpool_jax.files import replacing
from vgg_unpool_jax.pairs import load_pair
from vgg_unpool_jax.trained import write_evaluation
from vgg_unpool_jax.training.trainer import TrainResult, train_and_evaluate
from vgg_unpool_jax.weights.errors import ReleaseError
from vgg_unpool_jax.weights.model_card import model_card
from vgg_unpool_jax.weights.released import read_decoder

PathLike = str | os.PathLike

# By how much of itself the L1 may change before a release is stored in float32.
LARGEST_CHANGE = 0.005

_TIME_FILE = "training_time.json"


def train(
    config: ml_collections.ConfigDict,
    workdir: PathLike,
    max_minutes: float | None = None,
) -> TrainResult:
    """Train as `train_and_evaluate`, and add the time to the workdir's account.

    Time counts from the first line to the last, with compilation and validation; that
    of a process that was killed is lost.

    Args:
      config: of the run.
      workdir: of the run.
      max_minutes: when to stop with a checkpoint; None trains to the end.
    """
    with _accounted(pathlib.Path(workdir), config):
        return train_and_evaluate(config, workdir, max_minutes=max_minutes)


@contextlib.contextmanager
def _accounted(workdir: pathlib.Path, config) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        if workdir.is_dir():  # else the config was refused
            account = _read_account(workdir)
            account["hours"] += (time.monotonic() - began) / 3600
            account["hardware"] = provenance(config)["hardware"]
            write_results(workdir / _TIME_FILE, account)


def _read_account(workdir: pathlib.Path) -> dict[str, Any]:
    path = workdir / _TIME_FILE
    return read_results(path) if path.exists() else {"hours": 0.0, "hardware": None}


def export_release(
    workdir: PathLike,
    test: Part,
    facts: Mapping[str, Any],
    *,
    weights: PathLike | None = None,
    image_size: int = 256,
) -> list[pathlib.Path]:
    """Evaluate a run, finished or not, and write its decoder, card and table row.

    The decoder is stored in float16 where that changes the L1 of the test photos by
    less than `LARGEST_CHANGE` of itself, else in float32.

    Args:
      workdir: of the run; the release goes into the folder around it.
      test: photos that the run has neither been trained nor chosen on.
      facts: what the result file says of them, such as "source".
      weights: the VGG19 weights; None is those that the run was trained with.
      image_size: side of the centre crops in pixels.

    Returns:
      The files that people read: the decoder, its card, the table, the result file and
      the pictures.
    """
    workdir = pathlib.Path(workdir)
    folder = workdir.parent
    pair = load_pair(workdir, weights)
    score = pair.evaluate(test, image_size=image_size)
    account = _read_account(workdir)
    account = {
        "training_hours": account["hours"],
        "training_hardware": account["hardware"],
    }
    crop = {"crop": pair.crop}
    evaluation = write_evaluation(workdir, pair, score, {**facts, **crop, **account})
    results = read_results(evaluation[0])
    told = {
        "photos_seen": pair.step * pair.config.data.batch_size,
        "test_source": facts.get("source"),
        **account,
    }
    file = folder / f"vgg19-block{pair.block}.safetensors"
    pair.export(file, dtype="float32", facts=told)
    if _may_be_rounded(pair, score, test, weights, image_size):
        pair.export(file, dtype="float16", facts=told)
    card = file.with_suffix(".md")
    with replacing(card) as output:
        output.write(
            model_card(read_decoder(file).metadata, results, name=file.stem).encode()
        )
    return [file, card, write_table(folder), *evaluation]


def _may_be_rounded(pair, score, test, weights, image_size) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "rounded.safetensors"
        try:
            pair.export(file, dtype="float16")
        except ReleaseError:  # too large for float16
            return False
        rounded = load_pair(file, weights).evaluate(test, image_size=image_size)
    exact = score.metrics["l1"].mean
    return abs(rounded.metrics["l1"].mean - exact) < LARGEST_CHANGE * exact


def write_table(folder: PathLike) -> pathlib.Path:
    """Write table.md from the result files of all blocks in a folder."""
    folder = pathlib.Path(folder)
    found = sorted(folder.glob("block[1-5]/results.json"))
    text = release_table(read_pair_results(path) for path in found)
    path = folder / "table.md"
    with replacing(path) as output:
        output.write(f"{text}\n".encode())
    return path
