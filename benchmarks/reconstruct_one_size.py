"""The process of one size of the suite `reconstruct`; its argument is a JSON object.

    python -m benchmarks.reconstruct_one_size '{"block": 1, ...}'

Prints a JSON object: "samples" (seconds a photo), "first_seconds" (with compilation),
"baseline_bytes" (peak resident memory with weights and photo, before the first tile),
"peak_bytes" (at the end) and, where the device tells, "device_peak_bytes".
"""

import json
import sys
import time

import jax
import numpy as np

from benchmarks.our_pair import make_config
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.runtime.memory import peak_memory
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.systems.unpooling.pair import Pair


def make_pair(block: int) -> Pair:
    """A pair with random weights."""
    config = make_config(block, "float32")
    objective = make_objective(config)
    size = 2 ** (block - 1)
    params, model_state = objective.init(
        jax.random.key(0), {"image": np.zeros((1, size, size, 3), np.float32)}
    )
    weights = random_vgg19_weights(config.encoder.random_seed, block=block)
    return Pair(config, weights, {"params": params, **model_state}, step=0)


def measure(block, height, width, tile, repetitions, seconds, seed) -> dict:
    """Reconstruct one random photo again and again, at least twice.

    Args:
      block: of the pair.
      height: of the photo in pixels.
      width: likewise.
      tile: side of a tile in pixels.
      repetitions: how often at most.
      seconds: no further one is begun after so long.
      seed: of the photo.
    """
    pair = make_pair(block)
    generator = np.random.default_rng(seed)
    photo = generator.integers(0, 256, (height, width, 3), np.uint8)
    baseline = peak_memory().get("host", 0)
    samples, began = [], time.perf_counter()
    while len(samples) < 2 or (
        len(samples) <= repetitions and time.perf_counter() - began < seconds
    ):
        start = time.perf_counter()
        result = pair.reconstruct_photo(photo, tile=tile)
        samples.append(time.perf_counter() - start)
        if not np.isfinite(result).all():
            raise ArithmeticError("the reconstruction is not finite")
    found = {
        "samples": samples[1:],
        "first_seconds": samples[0],
        "baseline_bytes": baseline,
        "peak_bytes": peak_memory().get("host", 0),
    }
    if "device" in peak_memory():
        found["device_peak_bytes"] = peak_memory()["device"]
    return found


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
