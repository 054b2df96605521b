"""Where and with what a benchmark ran, and the limits of the machine.

The limits, copying memory and multiplying matrices, are measured in the same run as the
results that are compared with them.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness import Candidate, Peers, Settings, platform
from benchmarks.timing import compare
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
# Share of the free memory that the arrays of a case may take: candidates make temporary
# arrays of unknown size.
_MEMORY_SHARE = 0.3
_LIMIT_REPETITIONS = 5
# Products that would take longer are measured with small matrices.
_MOST_SECONDS = 10.0
_SMALL_SIDE = 256


def memory_budget() -> int:
    """Bytes that the arrays of one case may have together."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        used = statistics.get("bytes_in_use", 0)
        return int(_MEMORY_SHARE * (statistics["bytes_limit"] - used))
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(_MEMORY_SHARE * int(line.split()[1]) * 1024)
    return 1 << 32


def describe(settings: Settings, peers: Peers) -> dict:
    """Provenance of a benchmark: code, versions, hardware, threads, environment."""
    record = provenance(dataclasses.asdict(settings))
    del record["workdir"]
    record["versions"] |= peers.versions
    record["threads"] = {"cores_of_this_process": core_count()}
    if "torch" in peers:
        import torch

        record["threads"]["torch"] = torch.get_num_threads()
    record["load_average"] = list(os.getloadavg())
    record["environment"] = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(_PREFIXES)
    }
    return record


def measure_limits(moment: str, settings: Settings, peers: Peers) -> dict:
    """Measure all limits once.

    Args:
      moment: when this is, such as "before ops".
      settings: of the run.
      peers: torch multiplies too, if it is there: the limit is the machine's.

    Returns:
      "moment"; "copy", bytes/s by program; "matmul", FLOP/s by dtype and program.
    """
    # The copied array is far beyond any cache.
    size, side = (1 << 28, 2048) if platform() == "cpu" else (1 << 30, 8192)
    repetitions = _LIMIT_REPETITIONS
    if settings.small:
        size, side, repetitions = 1 << 20, 64, 1
    copies = {"jax": jax_copy(size)}
    if platform() == "cpu":
        copies["numpy"] = numpy_copy(size)
    times = compare(copies, repetitions)
    bandwidths = {name: 2 * size / min(t.samples) for name, t in times.items()}
    rates = {}
    # float32 always: some suites have no other.
    for dtype in dict.fromkeys(["float32", *settings.dtypes]):
        programs = {"jax": matmul}
        if "torch" in peers:
            from benchmarks.torch_ops import matmul as torch_matmul

            programs["torch"] = torch_matmul
        sides = {n: _side_of(make, side, dtype) for n, make in programs.items()}
        products = {n: make(sides[n], dtype) for n, make in programs.items()}
        times = compare(products, repetitions)
        rates[dtype] = {n: 2 * sides[n] ** 3 / min(t.samples) for n, t in times.items()}
    return {"moment": moment, "copy": bandwidths, "matmul": rates}


def _side_of(make, side: int, dtype: str) -> int:
    """Side of the matrices: `side`, or small where that would take too long.

    That is so for torch's bfloat16 on CPUs that have no instructions for it.
    """
    if side <= _SMALL_SIDE:
        return side
    seconds = min(compare({"": make(_SMALL_SIDE, dtype)}, 1)[""].samples)
    return side if seconds * (side / _SMALL_SIDE) ** 3 < _MOST_SECONDS else _SMALL_SIDE


def best_of(measurements: Sequence[dict]) -> dict:
    """The largest numbers among measurements: load only ever slows down."""
    copies = [rate for found in measurements for rate in found["copy"].values()]
    matmul = {
        dtype: max(max(found["matmul"][dtype].values()) for found in measurements)
        for dtype in measurements[0]["matmul"]
    }
    return {
        "copy_bandwidth_bytes_per_second": max(copies),
        "matmul_flops_per_second": matmul,
        "measurements": list(measurements),
    }


def add_shares(rows: Sequence[dict], limits: dict) -> None:
    """Add the share of its limit to every row that has one."""
    for row in rows:
        if row["limit"] == "copy":
            limit = limits["copy_bandwidth_bytes_per_second"]
        elif row["limit"] == "matmul":
            limit = limits["matmul_flops_per_second"][row["dtype"]]
        else:
            continue
        row["fraction_of_limit"] = row["rate"] / limit


def jax_copy(size: int) -> Candidate:
    """XLA reads an array of `size` bytes and writes another."""
    # Changes the sign: XLA would not copy at all for an identity.
    negate = jax.jit(jnp.negative)
    array = jnp.ones(size // 4, jnp.float32)
    return Candidate(lambda: negate(array))


def numpy_copy(size: int) -> Candidate:
    """All cores copy `size` bytes into memory that is there already."""
    source = np.ones(size // 4, np.float32)
    target = np.zeros_like(source)
    cores = core_count()
    parts = list(
        zip(np.array_split(source, cores), np.array_split(target, cores), strict=True)
    )
    pool = concurrent.futures.ThreadPoolExecutor(cores)

    def run():
        # np.copyto releases the interpreter lock.
        list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))

    return Candidate(run)


def matmul(side: int, dtype: str) -> Candidate:
    """A product of two square matrices; it takes 2 · side³ FLOPs."""
    multiply = jax.jit(jnp.matmul)
    left, right = (
        jax.random.normal(key, (side, side), dtype)
        for key in jax.random.split(jax.random.key(0))
    )
    return Candidate(lambda: multiply(left, right))
