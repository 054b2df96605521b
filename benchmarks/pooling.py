"""Suite `ops`: 2×2 max-pooling with its switches, unpooling, and their gradients.

Shapes are those in front of the pools 1 to 4 of VGG19. The limit is the copy bandwidth:
nothing is computed here, so the best program moves every array once.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness import Candidate, Case, Report, platform
from benchmarks.machine import memory_budget
from benchmarks.pooling_work import (
    OPERATIONS,
    RELU_POOL,
    RELU_POOL_GRADIENT,
    Arrays,
    minimum_bytes,
    named_arrays,
)
from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK
from vgg_unpool_jax.ops import max_pool_argmax, max_unpool, unpack_codes

SUITE = "ops"
# XLA:CPU scatters one element after the other: beyond this many it takes minutes.
_LARGEST_SCATTER_ON_CPU = 1 << 23


def measure(report: Report) -> None:
    """Check and time every operation on every shape and dtype."""
    for size_name, shape in _shapes(report.settings):
        for dtype in report.settings.dtypes:
            names = {op: f"{op}: {size_name} {dtype}" for op in OPERATIONS}
            operations = [op for op, name in names.items() if report.wants(name)]
            if not operations:
                continue
            needed, budget = _needed_bytes(shape, dtype, report.peers), memory_budget()
            if needed > budget:
                reason = f"needs about {needed / 1e9:.1f} GB, and {budget / 1e9:.1f} GB"
                report.skip(
                    SUITE, f"{size_name} {dtype}", "all", f"{reason} are granted"
                )
                continue
            arrays = Arrays.draw(report.generator, shape, dtype)
            for operation in operations:
                facts = {"operation": operation, "shape": list(shape)}
                case = Case(SUITE, names[operation], dtype, limit="copy", facts=facts)
                builders = _builders(case, arrays, report)
                report.time(case, report.check(case, builders, tolerance=0))


def _shapes(settings) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
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


def _needed_bytes(shape, dtype: str, peers) -> int:
    """About the size of the arrays of a case with all its candidates."""
    elements = int(np.prod(shape))
    programs = len(_paths("pool")) + 2 * len(peers.versions)
    # Per candidate two inputs and an output of the image's size, and 8-byte switches;
    # and the float32 originals.
    return elements * (programs * (3 * jnp.dtype(dtype).itemsize + 2) + 3 * 4)


def _builders(case, arrays, report):
    """(name, function that makes the candidate), ours first."""
    operation = case.facts["operation"]
    slow = platform() == "cpu" and arrays.image.size > _LARGEST_SCATTER_ON_CPU
    for name, path in _paths(operation).items():
        if path.get("implementation") == "scatter" and slow:
            report.skip(SUITE, case.name, name, "takes minutes on a CPU")
        else:
            yield name, functools.partial(candidate, operation, arrays, **path)
    if "torch" in report.peers:
        from benchmarks import torch_ops

        for name, layout in torch_ops.layouts().items():
            yield name, functools.partial(torch_ops.pooling, operation, arrays, *layout)
    if "tensorflow" in report.peers:
        from benchmarks import tensorflow_ops

        yield (
            "tensorflow",
            functools.partial(tensorflow_ops.pooling, operation, arrays),
        )


def _paths(operation: str) -> dict[str, dict]:
    """Options of `candidate` by its name; the default is first.

    Pallas runs on accelerators only; its interpreter on a CPU would say nothing.
    """
    found = {"ours": {}, "ours, packed": {"packed": True}}
    found["ours, scatter"] = {"implementation": "scatter"}
    if platform() == "cpu":
        found["ours, xla"] = {"implementation": "xla"}
    else:
        for name in ("xla", "pallas"):
            found[f"ours, {name}"] = {"implementation": name}
            found[f"ours, {name}, packed"] = {"implementation": name, "packed": True}
    if operation in (RELU_POOL, RELU_POOL_GRADIENT):
        found["ours, ReLU apart"] = {"relu_apart": True}
    return found


def candidate(
    operation: str, arrays: Arrays, relu_apart: bool = False, **options
) -> Candidate:
    """One operation by one of our implementations."""
    unpool = functools.partial(max_unpool, **options)
    pool = functools.partial(max_pool_argmax, **options)
    if operation in (RELU_POOL, RELU_POOL_GRADIENT):
        pool = functools.partial(pool, relu=True)
        if relu_apart:
            pool = lambda images: max_pool_argmax(jax.nn.relu(images))  # noqa: E731
    image = jnp.asarray(arrays.image, arrays.dtype)
    values = jnp.asarray(arrays.values, arrays.dtype)
    # A jit of its own for each candidate: they must not share compiled programs.
    switches = jax.block_until_ready(jax.jit(lambda x: pool(x)[1])(image))
    if operation in ("pool", RELU_POOL):
        run = functools.partial(jax.jit(lambda image: pool(image)), image)
    elif operation == "unpool":
        compiled = jax.jit(lambda values, switches: (unpool(values, switches),))
        run = functools.partial(compiled, values, switches)
    elif operation == "pool, unpool":

        def both(image):
            pooled, codes = pool(image)
            return pooled, codes, unpool(pooled, codes)

        run = functools.partial(jax.jit(both), image)
    else:
        # The backward pass alone: the forward pass has left its switches in `pull`,
        # which is a pytree and an argument like any other.
        if operation == "unpool gradient":
            _, pull = jax.vjp(lambda values: unpool(values, switches), values)
            gradient = jnp.asarray(arrays.image_gradient, arrays.dtype)
        else:
            _, pull = jax.vjp(lambda image: pool(image)[0], image)
            gradient = values
        run = functools.partial(jax.jit(lambda pull, g: pull(g)), pull, gradient)

    def result():
        first, *rest = run()
        found = [np.asarray(first.astype(jnp.float32))]
        if rest:
            packed = rest[0].shape != first.shape
            codes = unpack_codes(rest[0], first.shape[-1]) if packed else rest[0]
            found += [np.asarray(codes)]
        found += [np.asarray(image.astype(jnp.float32)) for image in rest[1:]]
        return named_arrays(operation, *found)

    switch_bytes = switches.nbytes / values.size
    amount = minimum_bytes(operation, image.size, image.dtype.itemsize, switch_bytes)
    facts = {"switch_bytes": switch_bytes}
    return Candidate(run, result=result, amount=amount, facts=facts)
