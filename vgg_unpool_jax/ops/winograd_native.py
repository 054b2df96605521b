"""Winograd's convolution and its gradients on a CPU by C++.

Of float32, where `native_operations.py` says; elsewhere `winograd.py` takes its place,
with the same results up to rounding. The two functions have the same signature there.
"""

import pathlib

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive

from vgg_unpool_jax.ops import winograd
from vgg_unpool_jax.ops.native_operations import make_operation, stack

SOURCE = pathlib.Path(__file__).with_name("winograd.cc")


def convolve(images, kernel, bias=None, gate=None, *, relu=False):
    """(n, h, w, i) to (n, h, w, o), where gate > 0."""
    if bias is None:
        bias = jnp.zeros(kernel.shape[3])
    gates = () if gate is None else (gate,)
    return _CONVOLVE.bind(images, kernel, bias, *gates, relu=relu)[0]


def weight_gradient(images, cotangent, gate=None):
    """Gradients of the kernel (3, 3, i, o) and the bias (o,), where gate > 0."""
    gates = () if gate is None else (gate,)
    return tuple(_WEIGHT_GRADIENT.bind(images, cotangent, *gates))


# --- primitives -----------------------------------------------------------------------


def _xla_convolve(images, kernel, bias, *gates, relu):
    return (winograd.convolve(images, kernel, bias, *gates, relu=relu),)


def _convolve_shapes(images, kernel, bias, *gates, relu):
    return [jax.core.ShapedArray((*images.shape[:3], kernel.shape[3]), images.dtype)]


def _weight_gradient_shapes(images, cotangent, *gates):
    outputs = cotangent.shape[3]
    shapes = (3, 3, images.shape[3], outputs), (outputs,)
    return [jax.core.ShapedArray(shape, images.dtype) for shape in shapes]


def _batch_photos(primitive: Primitive, arrays, axes, **options):
    """`vmap` with one kernel: its axis joins that of the photos."""
    images, kernel, bias, *gates = arrays
    if axes[1] is not None or axes[2] is not None:
        return _batch_in_turn(primitive, arrays, axes, **options)
    images, *gates = stack((images, *gates), (axes[0], *axes[3:]))
    merged = (array.reshape(-1, *array.shape[2:]) for array in (images, *gates))
    first, *others = merged
    (result,) = primitive.bind(first, kernel, bias, *others, **options)
    return [result.reshape(*images.shape[:2], *result.shape[1:])], [0]


def _batch_in_turn(primitive: Primitive, arrays, axes, **options):
    """`vmap` with a kernel for each: one after the other."""
    results = jax.lax.map(
        lambda arrays: primitive.bind(*arrays, **options), stack(arrays, axes)
    )
    return results, [0] * len(results)


_CONVOLVE = make_operation(
    "convolve",
    SOURCE,
    _xla_convolve,
    _convolve_shapes,
    dtypes=(jnp.float32,),
    options=("relu",),
    batch=_batch_photos,
)
_WEIGHT_GRADIENT = make_operation(
    "weight_gradient",
    SOURCE,
    winograd.weight_gradient,
    _weight_gradient_shapes,
    dtypes=(jnp.float32,),
    batch=_batch_in_turn,
)
