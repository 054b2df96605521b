"""Suite `reconstruct`: a large photo through a pair, in tiles: seconds and memory.

Every size has a process of its own, because the memory of one size would count in the
peak of the next. There is no peer.
"""

import math
import time

import numpy as np

from benchmarks.flops import reconstruction_flops
from benchmarks.harness import Candidate, Case, Report, platform
from benchmarks.pair import random_pair
from benchmarks.subprocesses import Subprocess
from benchmarks.timing import Timing
from vgg_unpool_jax.runtime.memory import peak_memory

SUITE = "reconstruct"
_BLOCKS = (1, 5)
_TILE = 1024
_SIZES = ((540, 960), (1080, 1920), (2160, 3840))
# The largest size with the deepest pair takes two CPU cores a quarter of an hour.
_MOST_PIXELS_ON_CPU = {1: 2160 * 3840, 5: 540 * 960}
_SMALL_SIZES = ((40, 72),)
_SMALL_TILE = 48
# No further repetition begins after this many seconds.
_SECONDS = 60


def measure(report: Report) -> None:
    """Time every size and block."""
    report.skip_peers(SUITE, "torch", "tensorflow")
    settings = report.settings
    sizes, blocks, tile = _SIZES, _BLOCKS, _TILE
    if settings.small:
        sizes, blocks, tile = _SMALL_SIZES, (1,), _SMALL_TILE
    for block in blocks:
        for height, width in sizes:
            name = f"reconstruct: block {block} {width}×{height}, tiles of {tile}"
            if not report.wants(name):
                continue
            slow = platform() == "cpu" and not settings.all_shapes
            if slow and height * width > _MOST_PIXELS_ON_CPU[block]:
                report.skip(SUITE, name, "ours", "--all_shapes measures it on a CPU")
                continue
            report.notify(f"{SUITE}: {name}")
            facts = {"block": block, "size": [height, width], "tile": tile}
            # The margins of the tiles are a cost, and do not count as work.
            amount = reconstruction_flops(block, 1, height, width)
            case = Case(SUITE, name, "float32", amount, "matmul", facts)
            # `launch.sh` sets it for all other commands.
            alone = {"GLIBC_TUNABLES": None}
            photo = report.generator.integers(0, 256, (height, width, 3), np.uint8)
            program = f"{__name__}:LargePhoto"
            with Subprocess(program, block, photo, tile, environment=alone) as process:
                found = process.ask("measure", settings.repetitions)
            timing = Timing(tuple(found.pop("samples")), 1)
            candidates = {"ours": Candidate(lambda: None, facts=found)}
            report.add_rows(case, candidates, {"ours": timing})


class LargePhoto:
    """A random pair and a photo, in a process of its own."""

    def __init__(self, block: int, photo: np.ndarray, tile: int):
        """Make the pair.

        Args:
          block: of the pair.
          photo: uint8 (h, w, 3).
          tile: side of a tile in pixels.
        """
        self._pair, self._photo, self._tile = random_pair(block), photo, tile

    def measure(self, repetitions: int) -> dict:
        """Reconstruct the photo repeatedly, at least twice.

        Returns:
          "samples" (seconds a photo), "first_seconds" (with compilation),
          "baseline_bytes" (peak resident memory with weights and photo, before the
          first tile), "peak_bytes" (at the end) and, where the device reports it,
          "device_peak_bytes".
        """
        baseline = peak_memory().get("host", 0)
        samples, end = [], time.perf_counter() + _SECONDS
        while len(samples) < 2 or (
            len(samples) <= repetitions and time.perf_counter() < end
        ):
            start = time.perf_counter()
            result = self._pair.reconstruct_photo(self._photo, tile=self._tile)
            samples.append(time.perf_counter() - start)
            if not math.isfinite(result.sum()):
                raise ArithmeticError("the reconstruction is not finite")
        peaks = peak_memory()
        found = {
            "samples": samples[1:],
            "first_seconds": samples[0],
            "baseline_bytes": baseline,
            "peak_bytes": peaks.get("host", 0),
        }
        if "device" in peaks:
            found["device_peak_bytes"] = peaks["device"]
        return found
