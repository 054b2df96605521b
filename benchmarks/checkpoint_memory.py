"""Memory that a save takes, in a process that has done nothing else.

    python -m benchmarks.checkpoint_memory BLOCK

Prints JSON: "baseline_bytes" with the state in memory and "peak_bytes" of its first
save; null where the system does not tell.
"""

import json
import pathlib
import sys
import tempfile

import jax
import numpy as np

from benchmarks.checkpoint_saves import make_state
from vgg_unpool_jax.runtime.memory import peak_resident_bytes
from vgg_unpool_jax.training.checkpoints import Checkpoints


def main() -> None:
    """Run the program."""
    with (
        tempfile.TemporaryDirectory() as small,
        tempfile.TemporaryDirectory() as folder,
    ):
        # What the first save of all takes for good: threads, modules.
        with Checkpoints(small) as saved:
            saved.save(make_state(1).replace(step=np.asarray(1, np.int32)), {})
        state = jax.block_until_ready(make_state(int(sys.argv[1])))
        before = _resident_bytes()
        with Checkpoints(folder) as saved:
            saved.save(state.replace(step=np.asarray(1, np.int32)), {})
        peak = None if before is None else peak_resident_bytes()
        print(json.dumps({"baseline_bytes": before, "peak_bytes": peak}))


def _resident_bytes() -> int | None:
    """Memory now, the peak begun anew from here; None where that is not known."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak_resident_bytes()


if __name__ == "__main__":
    main()
