"""Suite `reconstruct`: a large photo through a pair, in tiles: seconds and memory.

Every size has a process of its own, because what one size has taken of the memory would
stand in the peak of the next. The peer of a pair is its own block, so there is none.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from benchmarks.flops import reconstruction_flops
from benchmarks.peers import Peers
from benchmarks.report import Case, Report, make_row, platform
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, Timing

SUITE = "reconstruct"
_CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
_BLOCKS = (1, 5)
_TILE = 1024
_SIZES = ((540, 960), (1080, 1920), (2160, 3840))
# The largest size with the deepest pair takes two CPU cores a quarter of an hour.
_MOST_PIXELS_ON_CPU = {1: 2160 * 3840, 5: 540 * 960}
_SMALL_SIZES = ((40, 72),)
_SMALL_TILE = 48
# A process that has measured for so long stops repeating.
_SECONDS = 60


def measure(settings: Settings, peers: Peers, report: Report) -> None:
    """Time every size and block."""
    for peer in peers.versions:
        report.skip(SUITE, "all", peer, "the suite has no such peer")
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
            # What the margins of the tiles add is a cost, not work that was asked for.
            amount = reconstruction_flops(block, 1, height, width)
            case = Case(SUITE, name, "float32", amount, "matmul", facts)
            report.rows.append(_row(case, settings.repetitions, report.seed))


def _row(case: Case, repetitions: int, seed: int) -> dict:
    found = _in_a_process(
        block=case.facts["block"],
        height=case.facts["size"][0],
        width=case.facts["size"][1],
        tile=case.facts["tile"],
        repetitions=repetitions,
        seconds=_SECONDS,
        seed=seed,
    )
    samples = found.pop("samples")
    candidate = Candidate(lambda: None, facts=found)
    timings = {"ours": Timing(tuple(samples), 1)}
    return make_row(case, "ours", {"ours": candidate}, timings) | {"peer": None}


def _in_a_process(**arguments) -> dict:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.reconstruct_one_size",
            json.dumps(arguments),
        ],
        cwd=_CHECKOUT,
        # `launch.sh` sets it for everything but this.
        env={k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    if not np.all(np.isfinite(found["samples"])):
        raise RuntimeError(f"the process of {arguments} gave {done.stdout}")
    return found
