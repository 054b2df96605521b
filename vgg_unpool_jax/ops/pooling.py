"""Max-pooling that keeps its argmax, and the unpooling that uses it.

Arrays are NHWC of any float dtype. Switches are uint8 codes inside the window: for the
maximum at row r and column c of a window that is `width` wide, the code is
`r * width + c`. A byte per pooled value is an eighth of the int64 flat indices that
TensorFlow and torch keep; `ops/switches.py` converts.

Rules that hold on every path:

* Ties: the first maximum in row-major window order wins.
* NaN: the first NaN of a window is its maximum, so NaN is never lost on the way to the
  loss, where the trainer stops.
* Padding is never chosen, also when all values are -inf.
* Unpooling sums where several windows name one position (only overlapping windows can),
  as `tf.scatter_nd` does. That makes it linear, the transpose of picking the values at
  the switches, and deterministic.
* A code outside the window is a `ValueError` when the switches are concrete. Inside
  `jit`, where values are unknown, such a code writes nothing.

Both functions have custom gradients: pooling's is unpooling, unpooling's is the pick.
No gradient flows into switches.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.ops.windows import (
    Padding,
    Size,
    WindowGrid,
    default_image_size,
    make_grid,
)

_TWO_BY_TWO: Size = (2, 2)


def max_pool_argmax(
    images: jax.Array,
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
) -> tuple[jax.Array, jax.Array]:
    """Max-pool and keep where each maximum stood.

    Args:
      images: (n, h, w, c), any float dtype.
      window: (height, width), at most 256 elements.
      strides: (vertical, horizontal) step.
      padding: "VALID", "SAME" or ((top, bottom), (left, right)).

    Returns:
      pooled: (n, h', w', c), dtype of `images`.
      switches: (n, h', w', c) uint8 codes inside the window.

    Raises:
      ValueError: for arrays that are not 4-D or not float, or a window that does not
        fit.
    """
    images = jnp.asarray(images)
    _check_array("images", images)
    grid = make_grid(images.shape[1:3], window, strides, padding)
    return _pool(images, grid)


def max_unpool(
    values: jax.Array,
    switches: jax.Array,
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
    *,
    output_shape: Sequence[int] | None = None,
) -> jax.Array:
    """Put pooled values back where their maxima stood, zero elsewhere.

    Args:
      values: (n, h', w', c), any float dtype.
      switches: (n, h', w', c) uint8 codes from `max_pool_argmax`.
      window: the window that pooled.
      strides: the strides that pooled.
      padding: the padding that pooled.
      output_shape: (h, w) or (n, h, w, c) of the image that was pooled. Needed where
        pooling dropped or added rows (odd sizes); by default the natural size, for
        2×2 windows twice the pooled one.

    Returns:
      (n, h, w, c), dtype of `values`.

    Raises:
      ValueError: for shapes that do not belong together, switches that are not uint8,
        and concrete switches with a code outside the window.
    """
    values, switches = jnp.asarray(values), jnp.asarray(switches)
    _check_array("values", values)
    _check_switches(values, switches)
    grid = _unpooling_grid(values.shape, window, strides, padding, output_shape)
    check_codes(switches, grid.window)
    return _unpool(values, switches, grid)


def check_codes(switches: jax.Array, window: Size = _TWO_BY_TWO) -> None:
    """Raise `ValueError` if concrete switches hold a code outside the window.

    Inside `jit`, where values are unknown, nothing is checked.
    """
    elements = window[0] * window[1]
    if isinstance(switches, jax.core.Tracer) or not switches.size:
        return
    largest = int(switches.max())
    if largest >= elements:
        raise ValueError(
            f"switches hold the code {largest}, but a window of "
            f"{window[0]}×{window[1]} has codes 0 to {elements - 1}"
        )


def _check_array(name: str, array: jax.Array) -> None:
    if array.ndim != 4:
        raise ValueError(
            f"{name} must have the four axes (n, height, width, channels), got shape "
            f"{array.shape}"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} must be of a float dtype, got {array.dtype}")


def _check_switches(values: jax.Array, switches: jax.Array) -> None:
    if switches.dtype != jnp.uint8:
        raise ValueError(
            f"switches must be uint8 window codes, got {switches.dtype}; "
            "ops.switches converts flat indices and coordinate lists"
        )
    if switches.shape != values.shape:
        raise ValueError(
            f"switches must have the shape of values, {values.shape}, got "
            f"{switches.shape}"
        )


def _unpooling_grid(shape, window, strides, padding, output_shape) -> WindowGrid:
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


# --- the three operations with their gradients ----------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
@functools.partial(jax.jit, static_argnums=(1,))
def _pool(images: jax.Array, grid: WindowGrid) -> tuple[jax.Array, jax.Array]:
    if grid.is_two_by_two:
        return _pool_two_by_two(images, grid)
    return _pool_general(images, grid)


def _pool_forward(images, grid):
    pooled, switches = _pool(images, grid)
    return (pooled, switches), switches


def _pool_backward(grid, switches, cotangents):
    pooled_cotangent, _ = cotangents  # switches are integers: theirs is float0
    return (_unpool(pooled_cotangent, switches, grid),)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
@functools.partial(jax.jit, static_argnums=(2,))
def _unpool(values: jax.Array, switches: jax.Array, grid: WindowGrid) -> jax.Array:
    if grid.is_two_by_two:
        return _unpool_two_by_two(values, switches, grid)
    return _unpool_general(values, switches, grid)


def _unpool_forward(values, switches, grid):
    return _unpool(values, switches, grid), switches


def _unpool_backward(grid, switches, cotangent):
    return _pick(cotangent, switches, grid), _no_gradient(switches)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
@functools.partial(jax.jit, static_argnums=(2,))
def _pick(images: jax.Array, switches: jax.Array, grid: WindowGrid) -> jax.Array:
    """Values of `images` at the switches: the transpose of unpooling."""
    if grid.is_two_by_two:
        return _pick_two_by_two(images, switches, grid)
    return _pick_general(images, switches, grid)


def _pick_forward(images, switches, grid):
    return _pick(images, switches, grid), switches


def _pick_backward(grid, switches, cotangent):
    return _unpool(cotangent, switches, grid), _no_gradient(switches)


def _no_gradient(switches):
    return np.zeros(switches.shape, dtype=jax.dtypes.float0)


_pool.defvjp(_pool_forward, _pool_backward)
_unpool.defvjp(_unpool_forward, _unpool_backward)
_pick.defvjp(_pick_forward, _pick_backward)


# --- 2×2 windows: slices and selects, no scatter --------------------------------------


def _quarters(images: jax.Array, grid: WindowGrid) -> list[jax.Array]:
    """The four (n, h/2, w/2, c) elements of every 2×2 window, in code order."""
    height, width = (2 * size for size in grid.pooled_size)
    images = images[:, :height, :width]  # an odd last row or column has no window
    return [images[:, row::2, column::2] for row in range(2) for column in range(2)]


def _pool_two_by_two(images, grid):
    quarters = _quarters(images, grid)
    best = quarters[0]
    codes = jnp.zeros(best.shape, jnp.uint8)
    for code, candidate in enumerate(quarters[1:], start=1):
        wins = _beats(candidate, best)
        best = jnp.where(wins, candidate, best)
        codes = jnp.where(wins, jnp.uint8(code), codes)
    return best, codes


def _beats(candidate, best):
    """Strictly greater, or the first NaN."""
    return (candidate > best) | (jnp.isnan(candidate) & ~jnp.isnan(best))


def _unpool_two_by_two(values, switches, grid):
    n, height, width, channels = values.shape
    # One select over (n, h', 2, w', 2, c), which is the image in memory order.
    codes = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
    windows = jnp.where(
        switches[:, :, None, :, None, :] == codes,
        values[:, :, None, :, None, :],
        jnp.zeros((), values.dtype),
    )
    images = windows.reshape(n, 2 * height, 2 * width, channels)
    rows, columns = grid.image_size
    extra = ((0, 0), (0, rows - 2 * height), (0, columns - 2 * width), (0, 0))
    return jnp.pad(images, extra)


def _pick_two_by_two(images, switches, grid):
    quarters = _quarters(images, grid)
    picked = jnp.zeros((), images.dtype)
    for code, quarter in enumerate(quarters):
        picked = jnp.where(switches == code, quarter, picked)
    return picked


# --- any window: flat positions and scatter -------------------------------------------


def _window_elements(grid: WindowGrid):
    """Yield (code, rows, columns, inside) for each element of the window.

    rows (h',) and columns (w',) are image positions of that element in every window,
    clamped into the image; inside (h', w') says where clamping changed nothing.
    """
    starts = grid.starts
    height, width = grid.image_size
    for code in range(grid.window[0] * grid.window[1]):
        rows = starts[0] + code // grid.window[1]
        columns = starts[1] + code % grid.window[1]
        inside = ((rows >= 0) & (rows < height))[:, None] & (
            (columns >= 0) & (columns < width)
        )[None, :]
        yield code, np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1), inside


def _pool_general(images, grid):
    shape = (images.shape[0], *grid.pooled_size, images.shape[3])
    best = jnp.zeros(shape, images.dtype)
    codes = jnp.zeros(shape, jnp.uint8)
    found = np.zeros(grid.pooled_size, bool)  # static: has the window an element yet?
    for code, rows, columns, inside in _window_elements(grid):
        candidate = images[:, rows][:, :, columns]
        first = (inside & ~found)[None, :, :, None]
        wins = first | (inside[None, :, :, None] & _beats(candidate, best))
        best = jnp.where(wins, candidate, best)
        codes = jnp.where(wins, jnp.uint8(code), codes)
        found |= inside
    return best, codes


def _flat_positions(switches, grid):
    """Row-major positions (n, h', w', c) in one image plane, or -1 for none."""
    height, width = grid.image_size
    tops, lefts = (starts.astype(np.int32) for starts in grid.starts)
    codes = switches.astype(jnp.int32)
    rows = tops[None, :, None, None] + codes // grid.window[1]
    columns = lefts[None, None, :, None] + codes % grid.window[1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside &= codes < grid.window[0] * grid.window[1]
    return jnp.where(inside, rows * width + columns, -1)


def _unpool_general(values, switches, grid):
    n, _, _, channels = values.shape
    height, width = grid.image_size
    positions = _flat_positions(switches, grid).reshape(n, -1, channels)
    # Negative indices would count from the end; past the end they are dropped.
    positions = jnp.where(positions < 0, height * width, positions)
    images = jnp.zeros((n, height * width, channels), values.dtype)
    photo = jnp.arange(n)[:, None, None]
    channel = jnp.arange(channels)[None, None, :]
    images = images.at[photo, positions, channel].add(
        values.reshape(n, -1, channels), mode="drop"
    )
    return images.reshape(n, height, width, channels)


def _pick_general(images, switches, grid):
    n, height, width, channels = images.shape
    positions = _flat_positions(switches, grid)
    flat = positions.reshape(n, -1, channels)
    planes = images.reshape(n, height * width, channels)
    picked = jnp.take_along_axis(planes, jnp.maximum(flat, 0), axis=1)
    picked = picked.reshape(positions.shape)
    return jnp.where(positions >= 0, picked, jnp.zeros((), images.dtype))
