"""Pooling and unpooling of 2×2 windows on a CPU by C++, in one pass over memory.

Of float32 and bfloat16, where `native_operations.py` says; elsewhere `pooling_xla.py`
takes its place, with the same results. The three functions have the same signature
there; `pooling.py` documents them and adds gradients.
"""

import pathlib

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive

from vgg_unpool_jax.ops import pooling_xla
from vgg_unpool_jax.ops.native_operations import make_operation
from vgg_unpool_jax.ops.packing import pack_codes, unpack_codes
from vgg_unpool_jax.ops.windows import WindowGrid

SOURCE = pathlib.Path(__file__).with_name("pooling.cc")


def pool(images, grid: WindowGrid, relu: bool, packed: bool):
    """(n, h, w, c) to pooled (n, h/2, w/2, c) and its codes, packed or not."""
    pooled, codes = _POOL.bind(images, grid=grid, relu=relu)
    return pooled, pack_codes(codes) if packed else codes


def unpool(values, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) where gate > 0 to (n, h, w, c) at their switches."""
    codes = unpack_codes(switches, values.shape[3]) if packed else switches
    gates = () if gate is None else (gate,)
    return _UNPOOL.bind(values, codes, *gates, grid=grid)[0]


def pick(images, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) of images (n, h, w, c) at the switches where gate > 0."""
    codes = unpack_codes(switches, images.shape[3]) if packed else switches
    gates = () if gate is None else (gate,)
    return _PICK.bind(images, codes, *gates, grid=grid)[0]


# --- primitives -----------------------------------------------------------------------


def _xla_pool(images, *, grid, relu):
    return pooling_xla.pool(images, grid, relu, packed=False)


def _xla_unpool(values, codes, *gates, grid):
    return (pooling_xla.unpool(values, codes, *(gates or (None,)), grid, packed=False),)


def _xla_pick(images, codes, *gates, grid):
    return (pooling_xla.pick(images, codes, *(gates or (None,)), grid, packed=False),)


def _make(name: str, by_xla, *options: str) -> Primitive:
    """The primitive of an operation whose function for XLA is `by_xla`."""

    def shapes(*arrays, grid, **_):
        n, _, _, channels = arrays[0].shape
        size = grid.image_size if name == "unpool" else grid.pooled_size
        result = jax.core.ShapedArray((n, *size, channels), arrays[0].dtype)
        return [result, result.update(dtype=jnp.dtype("uint8"))][: 1 + (name == "pool")]

    return make_operation(
        name,
        SOURCE,
        by_xla,
        shapes,
        dtypes=(jnp.float32, jnp.bfloat16),
        options=("grid", *options),
        for_xla=("grid",),
    )


_POOL = _make("pool", _xla_pool, "relu")
_UNPOOL = _make("unpool", _xla_unpool)
_PICK = _make("pick", _xla_pick)
