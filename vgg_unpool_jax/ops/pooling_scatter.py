"""Pooling and unpooling of any window by positions and scatter: the reference.

The three functions have the same signature in `pooling_xla.py` and
`pooling_pallas.py`; `pooling.py` documents them and adds gradients. Packed
codes exist for 2×2 windows only, which `pooling.py` checks.
"""

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.ops.packing import pack_codes, unpack_codes
from vgg_unpool_jax.ops.pooling_xla import beats, gated
from vgg_unpool_jax.ops.windows import WindowGrid


def pool(images, grid: WindowGrid, relu: bool, packed: bool):
    """(n, h, w, c) to pooled (n, h', w', c) and its codes, packed or not."""
    if relu:
        images = jax.nn.relu(images)
    shape = (images.shape[0], *grid.pooled_size, images.shape[3])
    best = jnp.zeros(shape, images.dtype)
    codes = jnp.zeros(shape, jnp.uint8)
    found = np.zeros(grid.pooled_size, bool)  # static: has the window an element yet?
    for code, rows, columns, inside in _window_elements(grid):
        candidate = images[:, rows][:, :, columns]
        first = (inside & ~found)[None, :, :, None]
        wins = first | (inside[None, :, :, None] & beats(candidate, best))
        best = jnp.where(wins, candidate, best)
        codes = jnp.where(wins, jnp.uint8(code), codes)
        found |= inside
    return best, pack_codes(codes) if packed else codes


def unpool(values, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) where gate > 0 to (n, h, w, c); equal positions add up."""
    values = gated(values, gate)
    n, _, _, channels = values.shape
    codes = unpack_codes(switches, channels) if packed else switches
    height, width = grid.image_size
    positions = _flat_positions(codes, grid).reshape(n, -1, channels)
    # Negative indices would count from the end; those past the end are dropped.
    positions = jnp.where(positions < 0, height * width, positions)
    images = jnp.zeros((n, height * width, channels), values.dtype)
    photo = jnp.arange(n)[:, None, None]
    channel = jnp.arange(channels)[None, None, :]
    images = images.at[photo, positions, channel].add(
        values.reshape(n, -1, channels), mode="drop"
    )
    return images.reshape(n, height, width, channels)


def pick(images, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) of images (n, h, w, c) at the switches where gate > 0."""
    n, height, width, channels = images.shape
    codes = unpack_codes(switches, channels) if packed else switches
    positions = _flat_positions(codes, grid)
    flat = positions.reshape(n, -1, channels)
    planes = images.reshape(n, height * width, channels)
    picked = jnp.take_along_axis(planes, jnp.maximum(flat, 0), axis=1)
    picked = picked.reshape(positions.shape)
    picked = jnp.where(positions >= 0, picked, jnp.zeros((), images.dtype))
    return gated(picked, gate)


def _window_elements(grid: WindowGrid):
    """Yield (code, rows, columns, inside) for each element of the window.

    rows (h',) and columns (w',) are image positions of that element in every window,
    clamped to the image; inside (h', w') is true where clamping changed nothing.
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
