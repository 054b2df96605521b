"""Suite `ops`: 2×2 max-pooling with its switches, unpooling, and their gradients.

Shapes are those in front of the pools 1 to 4 of VGG19. The limit is the copy bandwidth:
nothing is computed here, so a program can at best move every array once.
"""

from collections.abc import Callable, Iterator

import jax.numpy as jnp

from benchmarks import our_pooling
from benchmarks.checks import require_equal
from benchmarks.machine import memory_budget
from benchmarks.peers import Peers
from benchmarks.pooling_work import OPERATIONS, RELU_POOL, Arrays, Program, needed_bytes
from benchmarks.report import Case, Report, is_unsupported, platform
from benchmarks.settings import Settings
from benchmarks.timing import Candidate
from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK

SUITE = "ops"
# XLA:CPU scatters one element after the other: beyond this many it takes minutes.
_LARGEST_SCATTER_ON_CPU = 1 << 23


def shapes(settings: Settings) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """(name, NHWC shape) of every image that is pooled."""
    sizes = [(256, 1), (256, 16), (1024, 1), (1024, 16)]
    pools = (1, 2, 3, 4)
    if settings.small:
        sizes, pools = [(16, 2)], (1,)
    elif platform() == "cpu" and not settings.all_shapes:
        sizes.remove((1024, 16))
    for size, batch in sizes:
        for pool in pools:
            side = size // 2 ** (pool - 1)
            shape = (batch, side, side, CHANNELS_PER_BLOCK[pool - 1])
            yield f"{batch}×{side}²×{shape[3]}", shape


def measure(settings: Settings, peers: Peers, report: Report) -> None:
    """Check and time every operation on every shape and dtype."""
    for place, shape in shapes(settings):
        for dtype in settings.dtypes:
            names = {
                operation: f"{operation}: {place} {dtype}" for operation in OPERATIONS
            }
            wanted = [op for op, name in names.items() if report.wants(name)]
            if not wanted:
                continue
            reason = _too_large(shape, dtype, peers)
            if reason:
                report.skip(SUITE, f"{place} {dtype}", "all", reason)
                continue
            arrays = Arrays.draw(report.generator, shape, dtype)
            for operation in wanted:
                case = Case(
                    SUITE,
                    names[operation],
                    dtype,
                    limit="copy",
                    facts={"operation": operation, "shape": list(shape)},
                )
                report.time(case, _checked(case, arrays, peers, report))


def _too_large(shape, dtype: str, peers: Peers) -> str:
    elements = shape[0] * shape[1] * shape[2] * shape[3]
    programs = len(our_pooling.paths("pool")) + 2 * len(peers)
    needed = needed_bytes(elements, jnp.dtype(dtype).itemsize, programs)
    budget = memory_budget()
    if needed <= budget:
        return ""
    return f"needs about {needed / 1e9:.1f} GB, and {budget / 1e9:.1f} GB are granted"


def _builders(operation, arrays, peers) -> Iterator[tuple[str, Callable[[], Program]]]:
    """(name, function that makes the program) of every candidate, ours first."""
    for name, path in our_pooling.paths(operation).items():
        yield name, lambda p=path: our_pooling.program(operation, arrays, **p)
    if "torch" in peers:
        from benchmarks import torch_pooling

        for name, options in torch_pooling.paths().items():
            yield (
                name,
                lambda o=options: torch_pooling.program(operation, arrays, *o),
            )
    if "tensorflow" in peers:
        from benchmarks import tensorflow_pooling

        yield (
            "tensorflow",
            lambda: tensorflow_pooling.program(operation, arrays),
        )


def _checked(case: Case, arrays, peers, report: Report) -> dict[str, Candidate]:
    """The candidates that can do this, all of which give what ours gives."""
    operation = case.facts["operation"]
    candidates, ours = {}, None
    for name, build in _builders(operation, arrays, peers):
        if (
            name == our_pooling.SCATTER
            and platform() == "cpu"
            and arrays.image.size > _LARGEST_SCATTER_ON_CPU
        ):
            report.skip(SUITE, case.name, name, "takes minutes on a CPU")
            continue
        try:
            program = build()
            came = program.read(program.candidate())
        except Exception as error:
            if name == our_pooling.OURS or not is_unsupported(error):
                raise
            report.skip(SUITE, case.name, name, str(error).splitlines()[0])
            continue
        if operation == RELU_POOL:
            # Where nothing is above 0 no gradient flows: any switch will do.
            came["codes"] = came["codes"] * (came["pooled"] > 0)
        if ours is None:
            ours = came
        require_equal(case.name, name, came, ours)
        candidates[name] = program.candidate
    return candidates
