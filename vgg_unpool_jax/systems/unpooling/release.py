"""From a config to a released decoder: train, evaluate, export, from any state.

A folder holds the releases of all blocks:

    blockN/                    the workdir of the run
    blockN/results.json        its evaluation on the test photos
    blockN/training_time.json  time and hardware of its training
    vgg19-blockN.safetensors   the decoder, with a model card vgg19-blockN.md
    releases.json              the index, by which decoders are loaded by their names
    table.md                   one row a block
"""

import math
import os
import pathlib
import tempfile
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
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.releases import file as release_file
from vgg_unpool_jax.releases import hub, index
from vgg_unpool_jax.releases.card import model_card
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.results import write_evaluation
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.systems.unpooling.pair import Pair, load_pair
from vgg_unpool_jax.systems.unpooling.table import read_pair_results, release_table
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.run_config import CHECKPOINTS
from vgg_unpool_jax.training.stages import examples_seen
from vgg_unpool_jax.training.trainer import TrainResult

PathLike = str | os.PathLike

# Largest relative change of the L1 by which a release may still be stored in float16.
LARGEST_CHANGE = 0.005

_TIME_FILE = "training_time.json"
_UPSAMPLINGS = {
    "unpool": "max-unpooling with the encoder's switches",
    "nearest": "nearest neighbours, without switches",
    "transposed": "transposed convolutions, without switches",
}


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
    _read_account(workdir)  # a damaged file is reported before the training
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
    if not (workdir / CHECKPOINTS).is_dir():
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
    """Time and hardware of a run's training, as recorded by `train`.

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

    The decoder is stored in float16 if that changes the L1 of the test photos by less
    than `LARGEST_CHANGE` of itself, else in float32. It is entered into the index of
    the folder, so that it can be loaded by its name.

    Args:
      workdir: of the run; the release goes into the folder around it.
      test: photos that the run has neither been trained nor chosen on.
      facts: about these photos for the result file, such as "source".
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
    seen = {"photos_seen": photos_seen(pair)}
    path = folder / f"vgg19-block{pair.block}.safetensors"
    pair.export(path, dtype=dtype, facts=seen | training_facts(workdir))
    results = json_file.read(evaluation[0])
    card = write_card(path, results)
    index.register(path, results=results)
    return [path, card, write_table(folder), *evaluation]


def photos_seen(pair: Pair) -> int:
    """Number of crops that a decoder was trained on, earlier runs included.

    Those are the run that it goes on from, and the release of its own block whose
    decoder it starts with, as far as its facts tell.

    Args:
      pair: of a run, or a release with this number among its facts.
    """
    if pair.release is not None and "photos_seen" in pair.release["facts"]:
        return pair.release["facts"]["photos_seen"]
    config = pair.config
    seen = examples_seen(config.data, pair.step, config.num_steps or pair.step)
    if config.get("initialize_from", ""):
        return seen + photos_seen(load_pair(config.initialize_from))
    shared_from = config.get("initialize_shared_from", "")
    if shared_from == f"vgg19-block{pair.block}":
        facts = release_file.read_metadata(index.find(shared_from))["facts"]
        seen += facts.get("photos_seen", 0)
    return seen


def write_pair_folder(
    pair: PathLike,
    folder: PathLike,
    *,
    dtype: str | None = None,
    results: Mapping[str, Any] | None = None,
    licence: str | None = None,
    weights: PathLike | None = None,
) -> list[pathlib.Path]:
    """Write a pair as a model folder, as the Hugging Face Hub has them.

    Args:
      pair: as `load_pair` takes it.
      folder: to write.
      dtype: one of `releases.storage.DTYPES`; None is that of a released file.
      results: content of the result file of its evaluation; None is what the index
        knows.
      licence: of the decoder; None is that of the index or of its facts.
      weights: the VGG19 weights, if the file has to be made.

    Returns:
      The files.
    """
    known = index.entries().get(os.fspath(pair))
    if known is not None:
        results = results or index.known_results(known)
        licence = licence or known.facts.get("licence")
    with tempfile.TemporaryDirectory(prefix="vgg_unpool_jax-") as aside:
        path = None if dtype else index.find(pair)
        if path is None:
            path = pathlib.Path(aside) / hub.MODEL_FILE
            load_pair(pair, weights).export(path, dtype=dtype or "float32")
        metadata = release_file.read(path).metadata
        name = f"vgg19-block{metadata['config']['encoder']['block']}"
        options = {"source": "hf:OWNER/NAME", "licence": licence}
        card = card_text(metadata, results, name, **options)
        return hub.write_model_folder(path, folder, card)


def write_card(path: PathLike, results: Mapping[str, Any] | None) -> pathlib.Path:
    """Write the model card of a decoder's file beside it.

    Args:
      path: of the release.
      results: content of the result file of its evaluation, or None.
    """
    path = to_path(path)
    text = card_text(release_file.read_metadata(path), results, path.stem)
    with replacing(path.with_suffix(".md")) as output:
        output.write(text.encode())
    return path.with_suffix(".md")


def card_text(
    metadata: Mapping[str, Any],
    results: Mapping[str, Any] | None,
    name: str,
    *,
    source: str | None = None,
    licence: str | None = None,
) -> str:
    """The model card of a released decoder.

    Args:
      metadata: of the release.
      results: content of the result file of its evaluation, or None.
      name: of the model.
      source: argument of `load_pair` in the example; None is the file `name`.
      licence: of the decoder; None takes the one in its facts.
    """
    source = source or f"{name}{release_file.SUFFIX}"
    return model_card(
        metadata,
        results,
        name=name,
        about=_architecture(metadata),
        usage=[
            "from vgg_unpool_jax import load_pair",
            "",
            f'pair = load_pair("{source}")',
            "rebuilt = pair.reconstruct(photos)   # (n, h, w, 3) RGB in [0, 255]",
        ],
        limits=[
            "Published figures of such pairs were measured on other photos (1,234 of "
            "COCO), so the comparison is rough.",
            "`decode` is not clipped to [0, 255]; `reconstruct` is.",
            "Other photos and edited features were not measured.",
        ],
        licence=licence,
    )


def _architecture(metadata: Mapping[str, Any]) -> str:
    block = metadata["config"]["encoder"]["block"]
    section = metadata["config"]["decoder"]
    shapes = decoder_shapes(block, section)
    count = sum(math.prod(s) for name, s in shapes.items() if name.startswith("params"))
    layers = ", ".join(
        f"{layer.name} {layer.outputs}→{layer.inputs}"
        for layer in reversed(convolutions_up_to(block))
    )
    text = (
        "Decoder of an image autoencoder whose encoder is VGG19 cut at "
        f"block{block}_conv2. It mirrors the encoder: 3×3 convolutions, ReLU after "
        f"each but the last ({layers}); {count:,} parameters, stored as "
        f"{metadata['dtype']}."
    )
    if block > 1:
        upsampling = section.get("upsampling", "unpool")
        text += f" Upsampling: {_UPSAMPLINGS[upsampling]}."
    if section.get("normalize_features"):
        text += " Each input channel is divided by its RMS over training photos."
    return text


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
