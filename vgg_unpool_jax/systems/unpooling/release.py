"""From a config to a released decoder: train, evaluate, export, from any state.

A folder holds the releases of all blocks:

    blockN/                    the workdir of the run
    blockN/results.json        its evaluation on the test photos
    blockN/training_time.json  how long it was trained, and on what
    vgg19-blockN.safetensors   the decoder, with a model card vgg19-blockN.md
    table.md                   one row a block
"""

import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.releases.model_card import model_card
from vgg_unpool_jax.releases.released import read_decoder
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.results import write_evaluation
from vgg_unpool_jax.systems.unpooling.pair import Pair, load_pair
from vgg_unpool_jax.systems.unpooling.table import read_pair_results, release_table
from vgg_unpool_jax.training.checkpoints import FOLDER, Checkpoints
from vgg_unpool_jax.training.trainer import TrainResult

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

    Time counts from the first line to the last, with compilation and validation, where
    it brought the run further; that of a process that was killed is lost.

    Args:
      config: of the run.
      workdir: of the run.
      max_minutes: when to stop with a checkpoint; None trains to the end.
    """
    workdir = to_path(workdir)
    first, began = _latest_step(workdir), time.monotonic()
    _read_account(workdir)  # what cannot be added to shows now, not in the end
    try:
        return train_and_evaluate(config, workdir, max_minutes=max_minutes)
    finally:
        last = _latest_step(workdir)
        if last > first and jax.process_index() == 0:
            entry = {
                "steps": [first, last],
                "hours": (time.monotonic() - began) / 3600,
                "hardware": provenance(config)["hardware"],
            }
            account = {"sessions": [*_read_account(workdir), entry]}
            write_results(workdir / _TIME_FILE, account)


def _latest_step(workdir: pathlib.Path) -> int:
    if not (workdir / FOLDER).is_dir():
        return 0
    with Checkpoints(workdir, create=False) as saved:
        return saved.latest_step() or 0


def _read_account(workdir: pathlib.Path) -> list[dict[str, Any]]:
    path = workdir / _TIME_FILE
    if not path.exists():
        return []
    content = json_file.read(path)
    try:
        return [
            {**entry, "hours": float(entry["hours"]), "hardware": entry["hardware"]}
            for entry in content["sessions"]
        ]
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error!r}; move it away to begin a new account"
        ) from error


def training_facts(workdir: PathLike) -> dict[str, Any]:
    """How long a run has been trained and on what, as far as `train` knows.

    Returns:
      "training_hours" and "training_hardware" (that of the longest session); empty for
      a run that was trained by other means.
    """
    sessions = _read_account(to_path(workdir))
    if not sessions:
        return {}
    hours = sum(entry["hours"] for entry in sessions)
    longest = max(sessions, key=lambda entry: entry["hours"])
    return {
        "training_hours": round(hours, 4),
        "training_hardware": longest["hardware"],
    }


def export_release(
    workdir: PathLike,
    test: Split,
    facts: Mapping[str, Any],
    *,
    weights: PathLike | None = None,
    image_size: int = 256,
) -> list[pathlib.Path]:
    """Evaluate a run, finished or not, and write its decoder, card and table row.

    The decoder is stored in float16 where that changes the L1 of the test photos by
    less than `LARGEST_CHANGE` of itself, else in float32. Files are written when all is
    known.

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
    workdir = to_path(workdir)
    folder = workdir.parent
    pair = load_pair(workdir, weights)
    score = pair.evaluate(test, image_size=image_size)
    rounded = round_parameters(pair)
    dtype = "float32"
    if rounded is not None:
        exact = score.metrics["l1"].mean
        change = rounded.evaluate(test, image_size=image_size).metrics["l1"].mean
        if abs(change - exact) < LARGEST_CHANGE * exact:
            dtype = "float16"
    known = {**facts, "crop": pair.crop, **training_facts(workdir)}
    evaluation = write_evaluation(workdir, pair, score, known)
    told = {"photos_seen": pair.step * pair.config.data.batch_size}
    file = folder / f"vgg19-block{pair.block}.safetensors"
    pair.export(file, dtype=dtype, facts=told | training_facts(workdir))
    text = model_card(
        read_decoder(file).metadata, json_file.read(evaluation[0]), name=file.stem
    )
    card = file.with_suffix(".md")
    with replacing(card) as output:
        output.write(text.encode())
    return [file, card, write_table(folder), *evaluation]


def round_parameters(pair: Pair) -> Pair | None:
    """A pair with the parameters that float16 keeps; None where they overflow."""
    variables = dict(pair.decoder_variables)
    with np.errstate(over="ignore"):
        half = jax.tree.map(lambda x: np.asarray(x, np.float16), variables["params"])
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(half)):
        return None
    variables["params"] = jax.tree.map(lambda x: x.astype(np.float32), half)
    return pair.with_decoder(variables)


def write_table(folder: PathLike) -> pathlib.Path:
    """Write table.md from the result files of all blocks in a folder."""
    folder = to_path(folder)
    found = sorted(folder.glob("block[1-5]/results.json"))
    text = release_table(read_pair_results(path) for path in found)
    path = folder / "table.md"
    with replacing(path) as output:
        output.write(f"{text}\n".encode())
    return path
