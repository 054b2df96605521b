"""Max-pooling that returns its argmax, and the unpooling that uses it.

Arrays are NHWC of any float dtype. Switches are uint8 codes inside the window: for the
maximum at row r and column c of a window that is `width` wide, the code is
`r * width + c`. One byte per pooled value is an eighth of the int64 flat indices of
TensorFlow and torch, and packed codes of 2×2 windows (`ops/packing.py`) are a
thirty-second; `ops/switches.py` converts to other programs' layouts.

Rules that hold on every path:

* Ties: the first maximum in row-major window order wins.
* NaN: the first NaN of a window is its maximum, so a NaN always reaches the loss, where
  the trainer stops.
* Padding is never chosen, also when all values are -inf.
* Unpooling adds values that have the same position (possible only for overlapping
  windows), as `tf.scatter_nd` does. It is therefore linear, the transpose of picking
  the values at the switches, and deterministic.
* A code outside the window is a `ValueError` when the switches are concrete. Inside
  `jit`, where values are unknown, such a code writes nothing. Packed switches cannot
  hold one.

Both functions have custom gradients: that of pooling is unpooling, that of unpooling is
picking. No gradient flows into switches. With `relu=True` the gradient is that of ReLU
followed by pooling; it needs the pooled value, which the next layer keeps anyway, and
its switch, but not the four values before the ReLU.
"""

import dataclasses
import functools
import importlib
from collections.abc import Sequence

import jax
import numpy as np

from vgg_unpool_jax.ops.placing import on_device
from vgg_unpool_jax.ops.pooling_checks import (
    check_array,
    check_codes,
    check_implementation,
    check_switches,
    unpooling_grid,
)
from vgg_unpool_jax.ops.windows import Padding, Size, WindowGrid, make_grid

__all__ = ["check_codes", "max_pool_argmax", "max_unpool"]

_TWO_BY_TWO: Size = (2, 2)

# Default implementation for 2×2 windows; other windows always use "scatter", the only
# one that supports them. Only "cpu" has been measured. If "pallas" is measured to be
# faster than "xla" on a GPU or TPU, this table is the only line to change.
_DEFAULTS = {"cpu": "native", "cuda": "xla", "rocm": "xla", "tpu": "xla"}


def max_pool_argmax(
    images: jax.Array,
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
    *,
    relu: bool = False,
    packed: bool = False,
    implementation: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Max-pool and return the position of each maximum.

    Args:
      images: (n, h, w, c), any float dtype.
      window: (height, width), at most 256 elements.
      strides: (vertical, horizontal) step.
      padding: "VALID", "SAME" or ((top, bottom), (left, right)).
      relu: pool ReLU(images), in the same pass. A window without a positive value is a
        tie of zeros, so its code is 0, and it has no gradient.
      packed: codes of two bits, four per byte (`ops/packing.py`); 2×2 windows only.
      implementation: None for the default of the platform, "xla" (slices and selects;
        2×2 windows only), "native" (C++ on a CPU; "xla" elsewhere and where there is
        no compiler), "pallas" (a kernel for GPU and TPU, interpreted and slow on a CPU;
        2×2 windows only) or "scatter" (any window; the reference).

    Returns:
      pooled: (n, h', w', c), dtype of `images`.
      switches: (n, h', w', c) uint8 codes inside the window, or
        (n, h', w', ceil(c / 4)) uint8 if packed.

    Raises:
      ValueError: for arrays that are not 4-D or not float, a window that does not fit,
        and an implementation or packing that does not have this window.
    """
    images = on_device(images)
    check_array("images", images)
    grid = make_grid(images.shape[1:3], window, strides, padding)
    return _pool(images, _options(grid, relu, packed, implementation))


def max_unpool(
    values: jax.Array,
    switches: jax.Array,
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
    *,
    output_shape: Sequence[int] | None = None,
    packed: bool = False,
    implementation: str | None = None,
) -> jax.Array:
    """Put pooled values back at the positions of their maxima, zero elsewhere.

    Args:
      values: (n, h', w', c), any float dtype.
      switches: (n, h', w', c) uint8 codes from `max_pool_argmax`, or packed codes.
      window: window of the pooling.
      strides: strides of the pooling.
      padding: padding of the pooling.
      output_shape: (h, w) or (n, h, w, c) of the image that was pooled. Needed where
        pooling dropped or added rows (odd sizes); by default the natural size, for
        2×2 windows twice the pooled one.
      packed: whether the switches are packed.
      implementation: as in `max_pool_argmax`; it need not be the one that pooled.

    Returns:
      (n, h, w, c), dtype of `values`.

    Raises:
      ValueError: for shapes that do not match, switches that are not uint8,
        concrete switches with a code outside the window, and an implementation or
        packing that does not have this window.
    """
    values, switches = on_device(values), on_device(switches)
    check_array("values", values)
    check_switches(values, switches, packed)
    grid = unpooling_grid(values.shape, window, strides, padding, output_shape)
    options = _options(grid, False, packed, implementation)
    if not packed:
        check_codes(switches, grid.window)
    return _unpool(values, switches, None, options)


@dataclasses.dataclass(frozen=True)
class _Options:
    """Static options of an operation; `paths` are (platform, implementation)."""

    grid: WindowGrid
    relu: bool
    packed: bool
    paths: tuple[tuple[str, str], ...]


def _options(grid, relu, packed, implementation) -> _Options:
    check_implementation(implementation, packed, grid)
    if not grid.is_two_by_two:
        implementation = "scatter"
    if implementation is None:
        paths = _DEFAULTS
    else:
        paths = dict.fromkeys(_DEFAULTS, implementation)
    return _Options(grid, bool(relu), bool(packed), tuple(paths.items()))


def _run(operation: str, paths, *arrays, **static):
    """Call an operation of the implementation that each platform has in `paths`."""

    def function(implementation):
        # Imported here, because importing Pallas is slow and most programs do not use
        # it.
        module = f"{__package__}.pooling_{implementation}"
        operate = getattr(importlib.import_module(module), operation)
        return lambda *arrays: operate(*arrays, **static)

    functions = {name: function(name) for name in {name for _, name in paths}}
    if len(functions) == 1:
        # All platforms use the same implementation, so no choice is staged out.
        return next(iter(functions.values()))(*arrays)
    # The choice is made at lowering, for the platform on which the code will run, not
    # for the devices of this process; the other implementations are traced, not
    # compiled.
    return jax.lax.platform_dependent(
        *arrays, **{platform: functions[name] for platform, name in paths}
    )


# --- the three operations with their gradients ----------------------------------------
#
# `gate`, if not None, has the shape of the pooled values; values are zeroed where it is
# not positive. It carries the ReLU into the gradient of pooling, where a kernel can
# apply it in the same pass. Its own gradient is zero.


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
@functools.partial(jax.jit, static_argnums=(1,))
def _pool(images: jax.Array, options: _Options) -> tuple[jax.Array, jax.Array]:
    return _run(
        "pool",
        options.paths,
        images,
        grid=options.grid,
        relu=options.relu,
        packed=options.packed,
    )


def _pool_forward(images, options):
    pooled, switches = _pool(images, options)
    return (pooled, switches), (switches, pooled if options.relu else None)


def _pool_backward(options, residuals, cotangents):
    pooled_cotangent, _ = cotangents  # switches are integers: theirs is float0
    return (_unpool(pooled_cotangent, *residuals, options),)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
@functools.partial(jax.jit, static_argnums=(3,))
def _unpool(values, switches, gate, options: _Options) -> jax.Array:
    return _run(
        "unpool",
        options.paths,
        values,
        switches,
        gate,
        grid=options.grid,
        packed=options.packed,
    )


def _unpool_forward(values, switches, gate, options):
    return _unpool(values, switches, gate, options), (switches, gate)


def _unpool_backward(options, residuals, cotangent):
    switches, gate = residuals
    return _pick(cotangent, switches, gate, options), _no_gradient(switches), None


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
@functools.partial(jax.jit, static_argnums=(3,))
def _pick(images, switches, gate, options: _Options) -> jax.Array:
    """Values of `images` at the switches: the transpose of unpooling."""
    return _run(
        "pick",
        options.paths,
        images,
        switches,
        gate,
        grid=options.grid,
        packed=options.packed,
    )


def _pick_forward(images, switches, gate, options):
    return _pick(images, switches, gate, options), (switches, gate)


def _pick_backward(options, residuals, cotangent):
    switches, gate = residuals
    return _unpool(cotangent, switches, gate, options), _no_gradient(switches), None


def _no_gradient(switches):
    return np.zeros(switches.shape, dtype=jax.dtypes.float0)


_pool.defvjp(_pool_forward, _pool_backward)
_unpool.defvjp(_unpool_forward, _unpool_backward)
_pick.defvjp(_pick_forward, _pick_backward)
