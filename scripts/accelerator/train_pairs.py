"""Train the pairs on from their newest state, in a given time; run.sh calls this.

Blocks have a share of the time each, in the order of how far they are from the
published figures. Each is one schedule that ends: its number of steps follows from the
speed of the encoder here. The state with the best validation is written as a release in
float16 after each block, also of a run that was cut short.
"""

import argparse
import json
import logging
import pathlib
import time

import jax
import numpy as np

from configs.unpooling import base
from vgg_unpool_jax.errors import PreemptedError
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.runtime.cpu_devices import device_per_core
from vgg_unpool_jax.systems import make_objective, train_and_evaluate
from vgg_unpool_jax.systems.unpooling.pair import load_pair
from vgg_unpool_jax.systems.unpooling.release import photos_seen

# Block -> share of the time.
SHARES = {5: 0.40, 4: 0.28, 2: 0.12, 3: 0.12, 1: 0.08}
# A training step as a multiple of the time of the encoder alone: the encoder, the
# decoder, its gradient (twice the decoder), and the optimizer.
_STEP_PER_ENCODING = 5.0
# Start, compilation for two crop sizes, statistics and validations of a block.
_OVERHEAD_SECONDS = {"cpu": 60.0}
_OVERHEAD_ELSEWHERE = 45.0
# The schedule is planned for this share of the rest.
_MARGIN = 0.8
# Files that come back are at most this large.
_LARGEST_BYTES = 15 * 2**20

_LOG = logging.getLogger("train_pairs")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("train_pairs", description=__doc__)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--input", type=to_path, required=True)
    parser.add_argument("--workdirs", type=to_path, required=True)
    parser.add_argument("--output", type=to_path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    device_per_core(8, 2)
    end = time.monotonic() + options.seconds
    shares_left = sum(SHARES.values())
    for block, share in SHARES.items():
        seconds = (end - time.monotonic()) * share / shares_left
        shares_left -= share
        train(block, seconds, options)


def train(block: int, seconds: float, options: argparse.Namespace) -> None:
    """Train a block for about this time and write its best state."""
    config = make_config(block, options.input)
    overhead = _OVERHEAD_SECONDS.get(jax.default_backend(), _OVERHEAD_ELSEWHERE)
    rate = step_seconds(config)
    steps = int(_MARGIN * (seconds - overhead) / rate)
    _LOG.info("block %d: %.0f s, %.3f s a step, %d steps", block, seconds, rate, steps)
    if steps < 20:
        _LOG.info("block %d: left out, too little time", block)
        return
    config.num_steps = steps
    config.checkpoints.every_steps = max(1, int(60 / rate))
    config.evaluation.every_steps = max(1, steps // 4)
    config.optimizer.warmup_steps = max(1, steps // 20)
    workdir, began = options.workdirs / f"block{block}", time.monotonic()
    try:
        train_and_evaluate(config, workdir, max_minutes=(seconds - overhead / 3) / 60)
    except PreemptedError:  # the newest checkpoint is there; the best may be older
        _LOG.info("block %d: stopped", block)
    hours = (time.monotonic() - began) / 3600
    write(block, workdir, options.output, hours)


def make_config(block: int, folder: pathlib.Path):
    """The config of a block that goes on from its newest state."""
    on_cpu = jax.default_backend() == "cpu"
    config = base.make_config(block, "best" if on_cpu else "best,gpu")
    config.data.source = f"folder:{folder / 'train'}"
    config.data.validation_source = f"folder:{folder / 'validation'}"
    config.data.split_fractions = (1.0, 0.0, 0.0)
    config.data.stages = ((0.85, 256, 2 if on_cpu else 16),)
    # Those that the package lacks start from the closed form of `best`.
    if f"vgg19-block{block}" in index.packaged_names():
        config.initialization = "he"
        config.initialize_shared_from = f"vgg19-block{block}"
        # The rate of a decoder that is trained already; higher ones lose accuracy.
        config.optimizer.learning_rate = 5e-4
    if on_cpu:  # a rehearsal
        config.evaluation.num_photos = config.evaluation.batch_size = 2
        config.evaluation.num_pictures = 0
        config.preparation.num_photos = 16
    return config


def step_seconds(config) -> float:
    """About the time of a training step, from that of the encoder."""
    objective = make_objective(config)
    shape = config.data.batch_size, config.data.image_size, config.data.image_size, 3
    images = jax.numpy.asarray(
        np.random.default_rng(0).uniform(0, 255, shape), np.float32
    )
    # An argument, not a constant of the program.
    encode = jax.jit(
        lambda params, images: objective.encoder.apply({"params": params}, images)[0]
    )
    params = objective.frozen["encoder"]
    jax.block_until_ready(encode(params, images))
    began = time.monotonic()
    for _ in range(5):
        features = encode(params, images)
    jax.block_until_ready(features)
    return _STEP_PER_ENCODING * (time.monotonic() - began) / 5


def write(
    block: int, workdir: pathlib.Path, output: pathlib.Path, hours: float
) -> None:
    """The best state of a run as a release, in pieces that may come back."""
    best = workdir / "best"
    folder = best if best.joinpath("checkpoints").is_dir() else workdir
    path = output / f"vgg19-block{block}.safetensors"
    pair = load_pair(folder)
    facts = {
        "photos_seen": photos_seen(pair),
        "training_hours": round(hours, 4),
        "training_hardware": provenance(pair.config)["hardware"],
    }
    pair.export(path, dtype="float16", facts=facts)
    validations = workdir / "validation.json"
    record = json.loads(validations.read_text()) if validations.exists() else {}
    _LOG.info("block %d: %s", block, json.dumps(record)[:2000])
    content = path.read_bytes()
    if len(content) > _LARGEST_BYTES:
        path.unlink()
        for number in range(-(-len(content) // _LARGEST_BYTES)):
            first = number * _LARGEST_BYTES
            piece = output / f"{path.name}.{number}"
            piece.write_bytes(content[first : first + _LARGEST_BYTES])


if __name__ == "__main__":
    main()
