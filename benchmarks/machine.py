"""Where and with what a benchmark ran."""

import os
import pathlib

import jax

from benchmarks.peers import Peers
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.runtime.cpu_devices import core_count

# Environment variables that change how fast something is.
_PREFIXES = (
    "CUDA_VISIBLE",
    "GLIBC_",
    "GOMP_",
    "JAX_",
    "LD_PRELOAD",
    "MALLOC_",
    "MKL_",
    "OMP_",
    "TF_",
    "TORCH",
    "XLA_",
)
# A case may use so much of the memory that is free: candidates make temporary arrays
# of which nothing is known here.
MEMORY_SHARE = 0.3


def share_the_device() -> None:
    """Keep jax from taking most of an accelerator's memory, which peers need too.

    Has an effect only before jax has used a device.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def memory_budget() -> int:
    """Bytes that the arrays of one case may have together."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        used = statistics.get("bytes_in_use", 0)
        return int(MEMORY_SHARE * (statistics["bytes_limit"] - used))
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(MEMORY_SHARE * int(line.split()[1]) * 1024)
    return 1 << 32


def describe(settings: dict, peers: Peers) -> dict:
    """Provenance of a benchmark: code, versions, hardware, threads, environment.

    Args:
      settings: what was asked for.
      peers: who takes part.
    """
    record = provenance(settings)
    del record["workdir"]
    record["versions"] |= peers.versions
    threads = {"cores_of_this_process": core_count()}
    if "torch" in peers:
        import torch

        threads["torch"] = torch.get_num_threads()
        if torch.cuda.is_available():
            record["hardware"]["cuda_of_torch"] = torch.version.cuda
            record["hardware"]["cudnn_of_torch"] = torch.backends.cudnn.version()
    if "tensorflow" in peers:
        import tensorflow as tf

        # 0 is its own choice: as many as there are cores.
        config = tf.config.threading
        threads["tensorflow_intra_op"] = config.get_intra_op_parallelism_threads()
        threads["tensorflow_inter_op"] = config.get_inter_op_parallelism_threads()
    record["threads"] = threads
    record["load_average"] = list(os.getloadavg())
    record["environment"] = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(_PREFIXES)
    }
    return record
