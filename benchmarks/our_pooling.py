"""Pooling and unpooling of this library, by every path that it has."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.pooling_work import (
    POOLING,
    RELU_POOL,
    RELU_POOL_GRADIENT,
    Arrays,
    Program,
    minimum_bytes,
)
from benchmarks.timing import Candidate
from vgg_unpool_jax.ops import max_pool_argmax, max_unpool, unpack_codes

OURS = "ours"
APART = f"{OURS}, ReLU apart"
SCATTER = f"{OURS}, scatter"


def paths(operation: str) -> dict[str, dict]:
    """Options of `program` by the name of the candidate; the default path is first.

    Pallas runs on accelerators alone; the interpreter that stands in for it on a CPU
    would say nothing about it.
    """
    found = {OURS: {}, f"{OURS}, packed": {"packed": True}}
    found[SCATTER] = {"implementation": "scatter"}
    if jax.default_backend() != "cpu":
        for name in ("xla", "pallas"):
            found[f"{OURS}, {name}"] = {"implementation": name}
            found[f"{OURS}, {name}, packed"] = {"implementation": name, "packed": True}
    if operation in (RELU_POOL, RELU_POOL_GRADIENT):
        found[APART] = {"relu_apart": True}
    return found


def _functions(operation, relu_apart=False, **options):
    """(pool, unpool) as an operation and its candidate want them."""
    unpool = functools.partial(max_unpool, **options)
    if operation not in (RELU_POOL, RELU_POOL_GRADIENT):
        return functools.partial(max_pool_argmax, **options), unpool
    if relu_apart:
        return lambda images: max_pool_argmax(jax.nn.relu(images)), unpool
    return functools.partial(max_pool_argmax, relu=True, **options), unpool


def program(operation: str, arrays: Arrays, **path) -> Program:
    """One operation by one of the `paths`."""
    pool, unpool = _functions(operation, **path)
    image = jnp.asarray(arrays.image, arrays.dtype)
    values = jnp.asarray(arrays.values, arrays.dtype)
    # A jit of its own for each program: they must not share a cache of compilations.
    switches = jax.block_until_ready(jax.jit(lambda x: pool(x)[1])(image))
    if operation in POOLING:
        compiled = jax.jit(lambda image: pool(image))
        run = functools.partial(compiled, image)
    elif operation == "unpool":
        compiled = jax.jit(lambda values, switches: unpool(values, switches))
        run = functools.partial(compiled, values, switches)
    elif operation == "pool, unpool":

        def both(image):
            pooled, codes = pool(image)
            return pooled, codes, unpool(pooled, codes)

        run = functools.partial(jax.jit(both), image)
    else:
        # What the backward pass does alone: the forward pass has left its switches in
        # `pull`, which is a pytree and an argument like any other.
        if operation in ("pool gradient", RELU_POOL_GRADIENT):
            _, pull = jax.vjp(lambda image: pool(image)[0], image)
            gradient = values
        else:
            _, pull = jax.vjp(lambda values: unpool(values, switches), values)
            gradient = jnp.asarray(arrays.image_gradient, arrays.dtype)
        compiled = jax.jit(lambda pull, gradient: pull(gradient)[0])
        run = functools.partial(compiled, pull, gradient)
    switch_bytes = switches.nbytes / values.size
    amount = minimum_bytes(operation, image.size, image.dtype.itemsize, switch_bytes)
    candidate = Candidate(run, amount=amount, facts={"switch_bytes": switch_bytes})
    return Program(candidate, functools.partial(_read, operation))


def _read(operation, result) -> dict[str, np.ndarray]:
    if operation in POOLING:
        named = dict(zip(("pooled", "codes"), result, strict=True))
    elif operation == "pool, unpool":
        named = dict(zip(("pooled", "codes", "image"), result, strict=True))
    else:
        named = {"pooled" if operation == "unpool gradient" else "image": result}
    if "codes" in named and named["codes"].shape != named["pooled"].shape:
        named["codes"] = unpack_codes(named["codes"], named["pooled"].shape[-1])
    return {
        name: np.asarray(x if name == "codes" else x.astype(jnp.float32))
        for name, x in named.items()
    }
