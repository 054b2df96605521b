"""Parts of a photo that are processed one at a time.

Transforms work on overlapping windows, and entropy coding on tiles; both are given in
latents.
"""

from collections.abc import Iterator

import numpy as np

from vgg_unpool_jax.systems.codec.model import RATIO

# Sides of what the transforms work on at a time, without the overlap that they need,
# and of the tiles of the entropy coding, in latents.
WINDOW = 64
TILE = 64


def windows(size: tuple[int, int], overlap: int) -> Iterator[tuple]:
    """Windows of equal shape that cover (h, w) latents.

    Args:
      size: (h, w); multiples of the ratio to the hyper latent, if it is windowed too.
      overlap: number of latents around what is kept of a window.

    Yields:
      the window, what of it is kept, and where that belongs; a pair of slices each,
      with bounds that are multiples of the ratio if the size is.
    """
    for row in _spans(size[0], overlap):
        for column in _spans(size[1], overlap):
            yield tuple(zip(row, column, strict=True))


def _spans(length: int, overlap: int) -> Iterator[tuple[slice, slice, slice]]:
    whole = min(WINDOW + 2 * overlap, length)
    step = WINDOW if whole < length else length
    for start in range(0, length, step):
        end = min(start + step, length)
        first = max(min(start - overlap, length - whole), 0)
        window = slice(first, first + whole)
        yield window, slice(start - first, end - first), slice(start, end)


def tile_places(rows: int, columns: int) -> list[tuple]:
    """Places of the tiles of (rows, columns) hyper latents: in them, and in latents."""
    places, side = [], TILE // RATIO
    for row in range(0, rows, side):
        for column in range(0, columns, side):
            outer = (slice(row, row + side), slice(column, column + side))
            inner = tuple(slice(RATIO * s.start, RATIO * s.stop) for s in outer)
            places.append((outer, inner))
    return places


def tiles(
    hyper: np.ndarray, integers: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The integers of each tile, int64: of the hyper latent, and of the latents."""
    for outer, inner in tile_places(*hyper.shape[:2]):
        yield hyper[outer].astype(np.int64), integers[inner].astype(np.int64)
