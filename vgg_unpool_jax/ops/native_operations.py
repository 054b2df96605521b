"""Operations that C++ does on a CPU, and XLA everywhere else.

C++ is called through XLA's foreign function interface. Where its library is missing
(`runtime/native.py`), for other dtypes, on other platforms, in an exported program,
which has to run elsewhere, and where XLA divides arrays among devices (`jit` over a
mesh; `pmap` and `shard_map` divide them before), a function of JAX takes its place.
This is decided when a program is lowered.
"""

import functools
import pathlib
import threading
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from vgg_unpool_jax.runtime import native

_LOCK = threading.Lock()


def make_operation(
    name: str,
    source: pathlib.Path,
    by_xla: Callable,
    shapes: Callable,
    *,
    dtypes: Sequence[jnp.dtype],
    options: Sequence[str] = (),
    for_xla: Sequence[str] = (),
    batch: Callable | None = None,
) -> Primitive:
    """A primitive without derivatives.

    Args:
      name: its function in the source is `vgg_unpool_NAME`.
      source: the C++ file.
      by_xla: the same in JAX; arrays and options to a tuple of arrays.
      shapes: arrays' shapes and dtypes, with options, to those of the results.
      dtypes: of the first array, that C++ takes.
      options: keyword arguments, hashable.
      for_xla: those that C++ does not need.
      batch: its rule for `vmap`; None merges the axis with that of the photos.
    """
    primitive = Primitive(f"vgg_unpool_{name}")
    primitive.multiple_results = True
    primitive.def_abstract_eval(shapes)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=tuple(options)))
    fallback = mlir.lower_fun(by_xla, multiple_results=True)

    def lower(context, *arrays, **given):
        module = context.module_context
        # Attributes that JAX does not promise. Without this one, exporting would fail.
        parameters = getattr(module, "lowering_parameters", None)
        exports = getattr(parameters, "for_export", False)
        divided = _is_divided(getattr(module, "axis_context", None))
        supported = context.avals_in[0].dtype in dtypes
        if exports or divided or not supported or not is_available(source, name):
            return fallback(context, *arrays, **given)
        given = {key: value for key, value in given.items() if key not in for_xla}
        return jax.ffi.ffi_lowering(f"vgg_unpool_{name}")(context, *arrays, **given)

    mlir.register_lowering(primitive, fallback)
    mlir.register_lowering(primitive, lower, platform="cpu")
    batching.primitive_batchers[primitive] = functools.partial(
        batch or _merge, primitive
    )
    return primitive


def is_available(source: pathlib.Path, name: str) -> bool:
    """Whether XLA knows a function of a C++ file; makes it known first."""
    with _LOCK:  # XLA refuses a second function of the same name
        return _register(source, name)


@functools.cache
def _register(source: pathlib.Path, name: str) -> bool:
    library = native.library(source)
    if library is None:
        return False
    function = jax.ffi.pycapsule(getattr(library, f"vgg_unpool_{name}"))
    jax.ffi.register_ffi_target(f"vgg_unpool_{name}", function, platform="cpu")
    return True


def _is_divided(axes) -> bool:
    """Whether XLA will divide arrays: it gathers those of functions not its own."""
    if hasattr(axes, "manual_axes"):
        return axes.manual_axes != frozenset(axes.mesh.axis_names)
    return getattr(axes, "num_devices", 1) > 1


def stack(arrays: Sequence[jax.Array], axes: Sequence[int | None]) -> list[jax.Array]:
    """Arrays of a `vmap`, all with its axis, as the first one."""
    size = next(
        array.shape[axis]
        for array, axis in zip(arrays, axes, strict=True)
        if axis is not None
    )
    return [
        jnp.broadcast_to(array, (size, *array.shape))
        if axis is None
        else jnp.moveaxis(array, axis, 0)
        for array, axis in zip(arrays, axes, strict=True)
    ]


def _merge(primitive: Primitive, arrays, axes, **options):
    """`vmap`: its axis joins that of the photos."""
    stacked = stack(arrays, axes)
    size = len(stacked[0])
    merged = [array.reshape(-1, *array.shape[2:]) for array in stacked]
    results = primitive.bind(*merged, **options)
    results = [array.reshape(size, -1, *array.shape[1:]) for array in results]
    return results, [0] * len(results)
