"""What the machine can do at most: copy memory, multiply matrices.

Both are measured in the run whose results are held against them.
"""

import concurrent.futures
import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import Peers, torch_device, torch_wait
from benchmarks.timing import Candidate, compare
from vgg_unpool_jax.runtime.cpu_devices import core_count

# By the platform of jax: bytes of the array that is copied, far beyond any cache, and
# sides of the matrices.
_COPY_BYTES = {"cpu": 1 << 28}
_ACCELERATOR_COPY_BYTES = 1 << 30
_SIDES = {"cpu": 2048}
_ACCELERATOR_SIDE = 8192
_SMALL_COPY_BYTES = 1 << 20
_SMALL_SIDE = 64


@dataclasses.dataclass(frozen=True)
class Limits:
    """The best of several measurements.

    Attributes:
      copy_bandwidth: bytes read plus bytes written a second.
      matmul_rate: FLOP/s by dtype.
      measurements: every one of them, with the moment it was taken at.
    """

    copy_bandwidth: float
    matmul_rate: dict[str, float]
    measurements: list[dict]

    def rate(self, kind: str, dtype: str) -> float:
        """The limit of a row: kind "copy" (bytes/s) or "matmul" (FLOP/s)."""
        return self.copy_bandwidth if kind == "copy" else self.matmul_rate[dtype]

    def record(self) -> dict:
        """What the file says."""
        return {
            "copy_bandwidth_bytes_per_second": self.copy_bandwidth,
            "matmul_flops_per_second": self.matmul_rate,
            "measurements": self.measurements,
        }


def measure(
    moment: str, dtypes: Sequence[str], peers: Peers, repetitions: int, small: bool
) -> dict:
    """Measure all limits once.

    Args:
      moment: when this is, such as "before ops".
      dtypes: of the matrices.
      peers: torch multiplies too, if it is there: the limit is the machine's.
      repetitions: of every measurement; the fastest counts, as for any limit.
      small: tiny arrays, for tests: the numbers then mean nothing.

    Returns:
      "moment"; "copy", bytes/s by program; "matmul", FLOP/s by dtype and program.
    """
    platform = jax.default_backend()
    size = _COPY_BYTES.get(platform, _ACCELERATOR_COPY_BYTES)
    side = _SIDES.get(platform, _ACCELERATOR_SIDE)
    if small:
        size, side = _SMALL_COPY_BYTES, _SMALL_SIDE
    copies = {"jax": jax_copy(size)}
    if platform == "cpu":
        copies["numpy"] = numpy_copy(size)
    times = compare(copies, repetitions)
    bandwidths = {name: 2 * size / min(t.samples) for name, t in times.items()}
    rates = {}
    for dtype in dtypes:
        products = {"jax": matmul(side, dtype)}
        if "torch" in peers:
            products["torch"] = torch_matmul(side, dtype)
        times = compare(products, repetitions)
        rates[dtype] = {n: 2 * side**3 / min(t.samples) for n, t in times.items()}
    return {"moment": moment, "copy": bandwidths, "matmul": rates}


def best_of(measurements: Sequence[dict]) -> Limits:
    """The largest numbers among measurements: load only ever slows down."""
    copy = max(max(found["copy"].values()) for found in measurements)
    matmul = {
        dtype: max(max(found["matmul"][dtype].values()) for found in measurements)
        for dtype in measurements[0]["matmul"]
    }
    return Limits(copy, matmul, list(measurements))


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
        # np.copyto lets go of the interpreter lock.
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


def torch_matmul(side: int, dtype: str) -> Candidate:
    """The same product by torch."""
    import torch

    left, right = (
        torch.randn(side, side, device=torch_device()).to(getattr(torch, dtype))
        for _ in range(2)
    )
    return Candidate(lambda: left @ right, torch_wait, peer="torch")
