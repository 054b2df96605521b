"""Suite `checkpoints`: how long a save blocks training, its memory and size on disk.

A save returns when the state is copied and its checksums are taken; orbax writes in the
background. The copy to host memory alone stands beside it.
"""

import itertools
import pathlib
import tempfile
import time

import jax
import numpy as np

from benchmarks.harness import Candidate, Case, Report
from benchmarks.pair import make_config
from benchmarks.subprocesses import Subprocess
from vgg_unpool_jax.runtime.memory import peak_resident_bytes
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.optimizers import make_optimizer
from vgg_unpool_jax.training.state import create_train_state

SUITE = "checkpoints"
_SIDE = 32


def measure(report: Report) -> None:
    """Time the saves of the pairs' training states."""
    report.skip_peers(SUITE, "torch", "tensorflow")
    for block in (1,) if report.settings.small else report.settings.blocks:
        name = f"checkpoint: block {block}, Adam"
        if report.wants(name):
            with tempfile.TemporaryDirectory() as folder:
                _measure_block(block, name, pathlib.Path(folder), report)


def _measure_block(block: int, name: str, folder: pathlib.Path, report: Report):
    state = _make_state(block)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    numbers = itertools.count(1)
    with Checkpoints(folder, max_to_keep=2) as saved:

        def save():
            began = time.perf_counter()
            saved.save(_at_step(state, next(numbers)), {})
            blocked = time.perf_counter() - began
            saved.wait()
            return blocked, time.perf_counter() - began

        def copy():
            return jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)

        save()
        files = (folder / "checkpoints" / "1").rglob("*")
        on_disk = sum(path.stat().st_size for path in files if path.is_file())
        # `launch.sh` sets it; memory that is kept would not be counted.
        alone = {"GLIBC_TUNABLES": None}
        with Subprocess(f"{__name__}:FirstSave", block, environment=alone) as process:
            facts = process.ask("measure")
        facts |= {"state_bytes": size, "disk_bytes": on_disk}
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


def _make_state(block: int):
    """The training state of the published recipe, filled with random numbers."""
    config = make_config(block, size=_SIDE)
    objective = make_objective(config)
    optimizer = make_optimizer(config.optimizer, 1000, 100.0)
    photo = np.zeros((1, _SIDE, _SIDE, 3), np.float32)
    params, model_state = objective.init(jax.random.key(0), {"image": photo})
    state = create_train_state(
        params, model_state, optimizer.transformation, averaged=True
    )
    # Zeros, with which an optimizer begins, would be compressed to nothing.
    generator = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(
            generator.standard_normal(leaf.shape), leaf.dtype
        ),
        state,
    )


def _at_step(state, number: int):
    return state.replace(step=np.asarray(number, np.int32))


class FirstSave:
    """The memory of a save, in a process that has done nothing else."""

    def __init__(self, block: int):
        """Make the state of a block."""
        # The first save of all keeps memory: threads, modules.
        with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as saved:
            saved.save(_at_step(_make_state(1), 1), {})
        self._state = jax.block_until_ready(_make_state(block))

    def measure(self) -> dict[str, int]:
        """Bytes with the state in memory and at the peak of its save; {} if unknown."""
        try:
            # Restarts the count of the peak.
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return {}
        before = peak_resident_bytes()
        with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as saved:
            saved.save(_at_step(self._state, 1), {})
        return {"baseline_bytes": before, "peak_bytes": peak_resident_bytes()}
