"""Checks of the arguments of pooling and unpooling."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vgg_unpool_jax.ops.packing import packed_channels
from vgg_unpool_jax.ops.windows import (
    Padding,
    Size,
    WindowGrid,
    default_image_size,
    make_grid,
)

IMPLEMENTATIONS = ("xla", "native", "pallas", "scatter")


def check_codes(switches: jax.Array, window: Size = (2, 2)) -> None:
    """Raise `ValueError` if concrete switches hold a code outside the window.

    Inside `jit`, where values are unknown, nothing is checked.
    """
    elements = window[0] * window[1]
    if isinstance(switches, jax.core.Tracer) or not switches.size:
        return
    with jax.ensure_compile_time_eval():  # also where `jit` closes over an array
        largest = int(switches.max())
    if largest >= elements:
        raise ValueError(
            f"switches hold the code {largest}, but a window of "
            f"{window[0]}×{window[1]} has codes 0 to {elements - 1}"
        )


def check_array(name: str, array: jax.Array) -> None:
    """Raise `ValueError` unless the array is 4-D of a float dtype."""
    if array.ndim != 4:
        raise ValueError(
            f"{name} must have the four axes (n, height, width, channels), got shape "
            f"{array.shape}"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} must be of a float dtype, got {array.dtype}")


def check_switches(values: jax.Array, switches: jax.Array, packed: bool) -> None:
    """Raise `ValueError` unless switches are bytes that belong to the values."""
    if switches.dtype != jnp.uint8:
        raise ValueError(
            f"switches must be uint8 window codes, got {switches.dtype}; "
            "ops.switches converts flat indices and coordinate lists"
        )
    if packed:
        wanted = (*values.shape[:3], packed_channels(values.shape[3]))
        if switches.shape != wanted:
            raise ValueError(
                f"packed switches must have shape {wanted} for values of shape "
                f"{values.shape}, got {switches.shape}"
            )
    elif switches.shape != values.shape:
        raise ValueError(
            f"switches must have the shape of values, {values.shape}, got "
            f"{switches.shape}"
        )


def check_implementation(
    implementation: str | None, packed: bool, grid: WindowGrid
) -> None:
    """Raise `ValueError` for an unknown implementation or one without this window."""
    if implementation not in (None, *IMPLEMENTATIONS):
        raise ValueError(
            f"implementation must be None or one of {IMPLEMENTATIONS}, got "
            f"{implementation!r}"
        )
    if grid.is_two_by_two:
        return
    got = f"got window {grid.window}, strides {grid.strides} and padding {grid.padding}"
    if packed:
        raise ValueError(
            "packed switches are for 2×2 windows with strides of 2 and no padding, "
            f"{got}"
        )
    if implementation in ("xla", "native", "pallas"):
        raise ValueError(
            f"implementation {implementation!r} is for 2×2 windows with strides of 2 "
            f"and no padding, {got}; 'scatter' takes any"
        )


def unpooling_grid(
    shape: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    output_shape: Sequence[int] | None,
) -> WindowGrid:
    """Grid of the image that values of this shape come from, or `ValueError`."""
    pooled_size = tuple(shape[1:3])
    if output_shape is None:
        size = default_image_size(pooled_size, window, strides, padding)
    else:
        output_shape = tuple(int(v) for v in output_shape)
        size = output_shape[1:3] if len(output_shape) == 4 else output_shape
        wanted = (shape[0], *size, shape[3])
        if len(size) != 2 or (len(output_shape) == 4 and output_shape != wanted):
            raise ValueError(
                f"output_shape must be (height, width) or (n, height, width, c) with n "
                f"and c of values {tuple(shape)}, got {output_shape}"
            )
    grid = make_grid(size, window, strides, padding)
    if grid.pooled_size != pooled_size:
        raise ValueError(
            f"values of height and width {pooled_size} cannot come from pooling "
            f"{size}, which gives {grid.pooled_size}"
        )
    return grid
