"""Suite `checkpoints`: how long a save blocks training, and what it takes.

A save returns when the state is copied and its checksums are taken; orbax writes in the
background. The copy to host memory alone stands beside it.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from benchmarks.our_pair import make_config
from benchmarks.peers import Peers
from benchmarks.report import Case, Report
from benchmarks.settings import Settings
from benchmarks.timing import Candidate
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.optimizers import make_optimizer
from vgg_unpool_jax.training.state import create_train_state

SUITE = "checkpoints"
_SIDE = 32


def measure(settings: Settings, peers: Peers, report: Report) -> None:
    """Time the saves of the pairs' training states."""
    for peer in peers.versions:
        report.skip(SUITE, "all", peer, "the suite has no such peer")
    for block in (1,) if settings.small else settings.blocks:
        name = f"checkpoint: block {block}, Adam"
        if report.wants(name):
            with tempfile.TemporaryDirectory() as folder:
                _measure_block(block, name, pathlib.Path(folder), report)


def _measure_block(block: int, name: str, folder: pathlib.Path, report: Report):
    state = make_state(block)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    numbers = itertools.count(1)
    with Checkpoints(folder, max_to_keep=2) as saved:

        def save():
            numbered = state.replace(step=np.asarray(next(numbers), np.int32))
            began = time.perf_counter()
            saved.save(numbered, {})
            blocked = time.perf_counter() - began
            saved.wait()
            return blocked, time.perf_counter() - began

        def copy():
            return jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)

        save()
        files = (folder / "checkpoints" / "1").rglob("*")
        on_disk = sum(path.stat().st_size for path in files if path.is_file())
        facts = {"state_bytes": size, "disk_bytes": on_disk}
        facts |= _memory(block)
        report.time(
            Case(SUITE, name, amount=size, facts={"block": block}),
            {
                "copy to the host": Candidate(copy),
                "save blocks": Candidate(lambda: save()[0], times_itself=True),
                "save, written": Candidate(
                    lambda: save()[1], facts=facts, times_itself=True
                ),
                "restore": Candidate(lambda: saved.restore(like=state)),
            },
        )


def _memory(block: int) -> dict:
    """What the first save of a process takes; this one has had more before."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.checkpoint_memory", str(block)],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        # `launch.sh` sets it; kept memory would hide what is taken.
        env={k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {key: value for key, value in found.items() if value is not None}


def make_state(block: int):
    """What the published recipe saves for a block, with random numbers in it."""
    config = make_config(block, "float32", _SIDE)
    objective = make_objective(config)
    optimizer = make_optimizer(config.optimizer, 1000, 100.0)
    photo = np.zeros((1, _SIDE, _SIDE, 3), np.float32)
    params, model_state = objective.init(jax.random.key(0), {"image": photo})
    state = create_train_state(
        params, model_state, optimizer.transformation, averaged=True
    )
    # Of the zeros that an optimizer begins with next to nothing would be written.
    generator = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(
            generator.standard_normal(leaf.shape), leaf.dtype
        ),
        state,
    )
