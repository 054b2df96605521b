"""Pooling and unpooling of 2×2 windows by slices and selects, which XLA fuses.

No scatter and no gather: every value of the output depends on at most four known
positions. The three functions have the same signature in `pooling_scatter.py` and
`pooling_pallas.py`; `pooling.py` documents them and adds gradients.
"""

import functools

import jax
import jax.numpy as jnp

from vgg_unpool_jax.ops.barrier import written_out, written_out_on_cpu
from vgg_unpool_jax.ops.packing import pack_codes, unpack_codes
from vgg_unpool_jax.ops.windows import WindowGrid


def beats(candidate: jax.Array, best: jax.Array) -> jax.Array:
    """Strictly greater, or the first NaN.

    A comparison with NaN is false, so `not <=` holds for a greater candidate and where
    either is NaN; `best == best` excludes the case that the maximum already is NaN.
    """
    return ~(candidate <= best) & (best == best)


def first_maximum(quarters, code_dtype) -> tuple[jax.Array, jax.Array]:
    """Elementwise maximum of arrays, and the index of the first array that has it."""
    best = quarters[0]
    codes = jnp.zeros(best.shape, code_dtype)
    for code, candidate in enumerate(quarters[1:], start=1):
        wins = beats(candidate, best)
        best = jnp.where(wins, candidate, best)
        codes = jnp.where(wins, jnp.array(code, code_dtype), codes)
    return best, codes


def pool(images, grid: WindowGrid, relu: bool, packed: bool):
    """(n, h, w, c) to pooled (n, h/2, w/2, c) and its codes, packed or not."""
    quarters = _quarters(images, grid)
    if relu:
        quarters = [jax.nn.relu(quarter) for quarter in quarters]
    # The maximum of `first_maximum` is not used: on a CPU, XLA computes either one in
    # its own loop, and plain maxima take half the time of comparisons and selects.
    pooled = functools.reduce(jnp.maximum, quarters)
    _, codes = first_maximum(quarters, jnp.uint8)
    return pooled, written_out(pack_codes(codes) if packed else codes)


def unpool(values, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) where gate > 0 to (n, h, w, c) at their switches."""
    values = gated(values, gate)
    n, height, width, channels = values.shape
    codes = _unpacked(switches, channels) if packed else switches
    # One select over (n, h', 2, w', 2, c), which is the image in memory order.
    elements = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
    windows = jnp.where(
        codes[:, :, None, :, None, :] == elements,
        values[:, :, None, :, None, :],
        jnp.zeros((), values.dtype),
    )
    return pad_to(windows.reshape(n, 2 * height, 2 * width, channels), grid)


def pick(images, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) of images (n, h, w, c) at the switches where gate > 0."""
    quarters = _quarters(images, grid)
    codes = _unpacked(switches, images.shape[3]) if packed else switches
    picked = jnp.zeros((), images.dtype)
    for code, quarter in enumerate(quarters):
        picked = jnp.where(codes == code, quarter, picked)
    return gated(picked, gate)


def _unpacked(switches, channels):
    # Inside the loop over the image, the shifts kept a CPU from vectorising it.
    return written_out_on_cpu(unpack_codes(switches, channels))


def gated(values: jax.Array, gate: jax.Array | None) -> jax.Array:
    """Zero where a gate is given and not positive."""
    if gate is None:
        return values
    return jnp.where(gate > 0, values, jnp.zeros((), values.dtype))


def crop_to_windows(images: jax.Array, grid: WindowGrid) -> jax.Array:
    """Drop an odd last row or column, which is in no window."""
    height, width = (2 * size for size in grid.pooled_size)
    return images[:, :height, :width]


def pad_to(images: jax.Array, grid: WindowGrid) -> jax.Array:
    """Undo `crop_to_windows` with zeros."""
    extra = [(0, grid.image_size[axis] - images.shape[1 + axis]) for axis in range(2)]
    return jnp.pad(images, ((0, 0), *extra, (0, 0)))


def _quarters(images: jax.Array, grid: WindowGrid) -> list[jax.Array]:
    """The four (n, h/2, w/2, c) elements of every 2×2 window, in code order."""
    images = crop_to_windows(images, grid)
    n, height, width, channels = images.shape
    # In this view, which needs no copy, a pair of columns is one run of 2c channels and
    # its halves are contiguous slices; strided slices of the image took up to a quarter
    # longer on a CPU.
    pairs = images.reshape(n, height // 2, 2, width // 2, 2 * channels)
    return [
        pairs[:, :, row, :, column * channels : (column + 1) * channels]
        for row in range(2)
        for column in range(2)
    ]
