"""Pooling and unpooling of 2×2 windows on a CPU by C++, in one pass over memory.

`pooling.cc` is called through XLA's foreign function interface. Where its library is
missing (`runtime/native.py`), for other dtypes than float32 and bfloat16, on other
platforms, in an exported program, which has to run elsewhere, and where XLA divides
arrays among devices (`jit` over a mesh; `pmap` and `shard_map` divide them before),
`pooling_xla.py` takes its place, with the same results. This is decided when a program
is lowered. The three functions have the same signature there; `pooling.py` documents
them and adds gradients.
"""

import functools
import pathlib
import threading

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from vgg_unpool_jax.ops import pooling_xla
from vgg_unpool_jax.ops.packing import pack_codes, unpack_codes
from vgg_unpool_jax.ops.windows import WindowGrid
from vgg_unpool_jax.runtime import native

_SOURCE = pathlib.Path(__file__).with_name("pooling.cc")
_LOCK = threading.Lock()
_DTYPES = (jnp.float32, jnp.bfloat16)


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


def _make(name: str, by_xla) -> Primitive:
    """The primitive of an operation whose function for XLA is `by_xla`."""
    primitive = Primitive(f"vgg_unpool_{name}")
    primitive.multiple_results = True

    @primitive.def_abstract_eval
    def shapes(*arrays, grid, **options):
        n, _, _, channels = arrays[0].shape
        size = grid.image_size if name == "unpool" else grid.pooled_size
        result = jax.core.ShapedArray((n, *size, channels), arrays[0].dtype)
        return [result, result.update(dtype=jnp.dtype("uint8"))][: 1 + (name == "pool")]

    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("grid", "relu")))
    fallback = mlir.lower_fun(by_xla, multiple_results=True)
    mlir.register_lowering(primitive, fallback)
    mlir.register_lowering(
        primitive, functools.partial(_lower, name, fallback), platform="cpu"
    )
    batching.primitive_batchers[primitive] = functools.partial(_batch, primitive)
    return primitive


def _lower(name: str, fallback, context, *arrays, grid, **options):
    """The program of a primitive for a CPU."""
    dtype = context.avals_in[0].dtype
    module = context.module_context
    # Attributes that JAX does not promise. Without this one, exporting would fail.
    exports = getattr(getattr(module, "lowering_parameters", None), "for_export", False)
    divided = _is_divided(getattr(module, "axis_context", None))
    if exports or divided or dtype not in _DTYPES or not _is_registered():
        return fallback(context, *arrays, grid=grid, **options)
    return jax.ffi.ffi_lowering(f"vgg_unpool_{name}")(context, *arrays, **options)


def _is_divided(axes) -> bool:
    """Whether XLA will divide arrays: it gathers those of functions not its own."""
    if hasattr(axes, "manual_axes"):
        return axes.manual_axes != frozenset(axes.mesh.axis_names)
    return getattr(axes, "num_devices", 1) > 1


def _is_registered() -> bool:
    """Whether XLA knows the functions of `pooling.cc`; makes them known first."""
    with _LOCK:  # XLA refuses a second function of the same name
        return _register()


@functools.cache
def _register() -> bool:
    library = native.library(_SOURCE)
    if library is None:
        return False
    for name in ("vgg_unpool_pool", "vgg_unpool_unpool", "vgg_unpool_pick"):
        function = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(name, function, platform="cpu")
    return True


def _batch(primitive: Primitive, arrays, axes, **options):
    """`vmap`: its axis joins that of the photos."""
    size = next(
        array.shape[axis]
        for array, axis in zip(arrays, axes, strict=True)
        if axis is not None
    )
    merged = [
        jnp.broadcast_to(array, (size, *array.shape))
        if axis is None
        else jnp.moveaxis(array, axis, 0)
        for array, axis in zip(arrays, axes, strict=True)
    ]
    merged = [array.reshape(-1, *array.shape[2:]) for array in merged]
    results = primitive.bind(*merged, **options)
    results = [array.reshape(size, -1, *array.shape[1:]) for array in results]
    return results, [0] * len(results)


_POOL = _make("pool", _xla_pool)
_UNPOOL = _make("unpool", _xla_unpool)
_PICK = _make("pick", _xla_pick)
