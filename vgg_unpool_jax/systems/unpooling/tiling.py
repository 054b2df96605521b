"""Large images in tiles, with the result of the whole image.

A pixel of a reconstruction depends on the pixels around it up to a distance that
follows from the layers. Tiles overlap by twice that distance, begin at multiples of the
pooling grid, and their borders are cut off; the rest equals the reconstruction of the
whole image up to rounding. Memory on the devices is that of the current tiles.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.nets.vgg19_layers import (
    CONVOLUTIONS_PER_BLOCK,
    check_block,
    size_multiple,
)
from vgg_unpool_jax.ops import winograd

# Step in pixels by which tiles are reduced.
_SHRINK = 128


class Span(NamedTuple):
    """One side of a tile.

    Attributes:
      start: first pixel of the tile in the image.
      stop: end of the tile in the image.
      inner: the part of the tile that is kept.
      outer: position of that part in the image.
    """

    start: int
    stop: int
    inner: slice
    outer: slice


def receptive_margin(block: int) -> int:
    """Radius of the receptive field of a reconstruction in pixels.

    Follows an output pixel back through decoder, unpooling, pooling and encoder: each
    3×3 convolution adds one position on both sides, each pooling window is needed
    whole.

    Args:
      block: 1 to 5, where VGG19 is cut.

    Returns:
      The largest distance over all positions in the pooling grid.
    """
    counts = list(enumerate((*CONVOLUTIONS_PER_BLOCK[: check_block(block) - 1], 2), 1))
    margin = 0
    for pixel in range(size_multiple(block)):
        low = high = pixel
        for level, convolutions in counts:  # the decoder, from its last layer
            low, high = low - convolutions, high + convolutions
            if level < block:
                low, high = low // 2, high // 2
        for level, convolutions in reversed(counts):  # the encoder
            if level < block:
                low, high = 2 * low, 2 * high + 1
            low, high = low - convolutions, high + convolutions
        margin = max(margin, pixel - low, high - pixel)
    return margin


def tile_spans(length: int, tile: int, margin: int, multiple: int) -> list[Span]:
    """Tiles along one side of an image; all but a single one have the same length.

    Args:
      length: of the side.
      tile: largest length of a tile; tiles are shorter if that does not increase their
        number, and differ from `length` by a multiple, so that the last begins at one.
      margin: width of a tile's border that is wrong inside the image.
      multiple: tiles begin at multiples of this number of pixels.

    Returns:
      Spans whose outer parts cover the side.
    """
    margin = -(-margin // multiple) * multiple
    least = 2 * (margin + multiple)
    if tile < least:
        raise UserError(
            f"tile must be at least {least} pixels, of which {2 * margin} are the "
            f"margins, got {tile}"
        )
    if length <= tile:
        return [Span(0, length, slice(0, length), slice(0, length))]
    tile -= (tile - length) % multiple
    count = len(_starts(length, tile, margin, multiple))
    # Smaller tiles, if the number is the same, overlap less. In coarse steps, because
    # every tile size compiles its own program.
    shrink = -(-_SHRINK // multiple) * multiple
    while len(_starts(length, tile - shrink, margin, multiple)) == count:
        tile -= shrink
    spans = []
    for start in _starts(length, tile, margin, multiple):
        first = 0 if start == 0 else margin
        last = tile if start + tile == length else tile - margin
        outer = slice(start + first, start + last)
        spans.append(Span(start, start + tile, slice(first, last), outer))
    return spans


def _starts(length: int, tile: int, margin: int, multiple: int) -> list[int]:
    """First pixels of tiles of one length; empty if the margins leave nothing."""
    step = (tile - 2 * margin) // multiple * multiple
    if step <= 0:
        return []
    return [*range(0, length - tile, step), length - tile]


def pad_on_host(images: np.ndarray, multiple: int) -> np.ndarray:
    """Like `ops.padding.pad_to_multiple`, (n, h, w, c), without compiling anything."""
    images = np.asarray(images)
    for axis in (1, 2):
        pads = [(0, 0)] * 4
        pads[axis] = (0, -images.shape[axis] % multiple)
        mode = "reflect" if images.shape[axis] > 1 else "edge"
        images = np.pad(images, pads, mode=mode)
    return images


def reconstruct_tiled(
    reconstruct: Callable,
    image: np.ndarray,
    *,
    block: int,
    tile: int,
    batch: int = 1,
    progress: Callable | None = None,
) -> np.ndarray:
    """Reconstruct a large image tile by tile.

    Memory on the devices is that of `batch` tiles, whatever the size of the image.

    Args:
      reconstruct: images (batch, h, w, 3) float32 in [0, 255] to images of that shape,
        such as `Pair.reconstruct`; it is called with a single shape.
      image: (h, w, 3) RGB in [0, 255], any real dtype; it stays on the host.
      block: of the pair, 1 to 5.
      tile: largest side of a tile in pixels, margins included.
      batch: number of tiles per call, such as one for each device.
      progress: wraps the list of groups of tiles, such as `tqdm`.

    Returns:
      (h, w, 3) float32, equal to `reconstruct` of the whole image up to rounding.
    """
    multiple = size_multiple(block)
    return apply_in_tiles(
        reconstruct,
        image,
        margin=receptive_margin(block),
        multiple=multiple,
        tile=tile,
        batch=batch,
        progress=progress,
    )


def apply_in_tiles(
    function: Callable,
    image: np.ndarray,
    *,
    margin: int,
    multiple: int,
    tile: int,
    scale: int = 1,
    batch: int = 1,
    progress: Callable | None = None,
) -> np.ndarray:
    """Apply a function of a neighbourhood to a large image tile by tile.

    Args:
      function: images (batch, h, w, 3) float32 in [0, 255] to arrays
        (batch, h / scale, w / scale, c); it is called with a single shape.
      image: (h, w, 3) RGB in [0, 255], any real dtype; it stays on the host.
      margin: distance in pixels beyond which nothing influences a position.
      multiple: of which the function needs sides and tiles begin at; the image is
        padded to it by reflection.
      tile: largest side of a tile in pixels, margins included.
      scale: pixels per position of the outputs; `multiple` is a multiple of it.
      batch: number of tiles per call, such as one for each device.
      progress: wraps the list of groups of tiles, such as `tqdm`.

    Returns:
      (h, w, c) / scale, rounded up, float32: the function of the whole image up to
      rounding.
    """
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"image must have shape (height, width, 3), got {image.shape}")
    # A Winograd tile of the deepest layer, so that rounding is as in the whole image.
    grid = multiple * winograd.TILE
    sides = [-(-length // scale) for length in image.shape[:2]]
    image = pad_on_host(image[None], multiple)[0]
    rows, columns = (
        tile_spans(length, tile, margin, grid) for length in image.shape[:2]
    )
    result = None
    spans = [(row, column) for row in rows for column in columns]
    groups = [spans[start : start + batch] for start in range(0, len(spans), batch)]
    for group in groups if progress is None else progress(groups):
        # The last group is filled with its last tile, so that one shape compiles once.
        filled = group + group[-1:] * (batch - len(group))
        windows = np.stack(
            [image[row.start : row.stop, col.start : col.stop] for row, col in filled]
        )
        outputs = np.asarray(function(windows.astype(np.float32)))
        if result is None:
            shape = (length // scale for length in image.shape[:2])
            result = np.empty((*shape, outputs.shape[3]), np.float32)
        for (row, column), output in zip(group, outputs, strict=False):
            outer = _scaled(row.outer, scale), _scaled(column.outer, scale)
            inner = _scaled(row.inner, scale), _scaled(column.inner, scale)
            result[outer] = output[inner]
    return result[: sides[0], : sides[1]]


def _scaled(part: slice, scale: int) -> slice:
    return slice(part.start // scale, part.stop // scale)
