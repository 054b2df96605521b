"""The canvas of a photo in the cascade: padding, regions, tiles.

Photos are padded by reflection: by `BORDER` pixels on every side, so that the zeros
that VGG19's convolutions pad with do not become a frame, and at the bottom and right up
to a multiple of `BUCKET` pixels, so that photos of one bucket share their compiled
programs. The padding counts in no statistics and is cut off in the end. A canvas with a
side longer than a tile is processed in tiles, which overlap as in `tiling`. All tiles
use the statistics of the whole photo, so there are no seams.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.ops import winograd
from vgg_unpool_jax.systems.unpooling.tiling import Span, receptive_margin, tile_spans

# Pixels; a multiple of what every block and the Winograd tiles of its features need.
BUCKET = 64
BORDER = 32


class Tile(NamedTuple):
    """A part of the canvas that is encoded and decoded at once.

    Attributes:
      rows: its position and the part of it that is kept, along the height.
      columns: the same along the width.
    """

    rows: Span
    columns: Span

    @property
    def window(self) -> tuple[slice, slice]:
        """Its position on the canvas."""
        return tuple(slice(span.start, span.stop) for span in self)


def to_canvas(images: np.ndarray) -> np.ndarray:
    """Pad (n, h, w, c) photos to a canvas."""
    return np.stack([_padded(image, "reflect") for image in images])


def from_canvas(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut (n, height, width, c) photos out of their canvas."""
    return images[:, BORDER : BORDER + height, BORDER : BORDER + width]


def cut_tiles(height: int, width: int, block: int, tile: int) -> list[Tile]:
    """Cut a canvas into tiles; one no larger than a tile is a single tile.

    Args:
      height: of the canvas, a multiple of `BUCKET`.
      width: of the canvas, a multiple of `BUCKET`.
      block: of the pair, 1 to 5.
      tile: largest side in pixels, margins included; 0 makes one tile of every canvas.

    Returns:
      Tiles of one size, whose kept parts cover the canvas and do not overlap.
    """
    if not tile or max(height, width) <= tile:
        return [Tile(*(_whole(side) for side in (height, width)))]
    margin = receptive_margin(block)
    # Aligned with the Winograd tiles: rounding is the same as in the whole photo.
    grid = size_multiple(block) * winograd.TILE
    rows, columns = (
        _disjoint(tile_spans(side, tile, margin, grid)) for side in (height, width)
    )
    return [Tile(row, column) for row in rows for column in columns]


class RegionMap:
    """The coverage of each region in the cells of a canvas, for any block.

    Attributes:
      names: of the regions.
      regions: of the photo's size.
    """

    def __init__(self, height: int, width: int, regions: Regions | None = None):
        """Lay the regions of a photo on its canvas.

        Args:
          height: of the photo.
          width: of the photo.
          regions: of the photo's size; None is one region, the whole photo.
        """
        if regions is None:
            regions = Regions(("all",), labels=np.zeros((height, width), np.int32))
        if regions.shape != (height, width):
            raise ValueError(
                f"regions must have the photo's size, {height}×{width}, got "
                f"{regions.shape[0]}×{regions.shape[1]}"
            )
        self.names, self.regions = regions.names, regions
        self._inside = _padded(np.ones((height, width), np.float32), "constant")
        self._is_hard = regions.labels is not None
        array = regions.labels if self._is_hard else regions.coverage
        self._regions = _padded(array, "reflect")

    def present(self, tile: Tile) -> np.ndarray:
        """Indices of the regions in a tile, its margins included."""
        window = self._regions[tile.window]
        return np.unique(window) if self._is_hard else window.any((0, 1)).nonzero()[0]

    def coverage(
        self, tile: Tile, block: int, regions: Sequence[int], *, once: bool = False
    ) -> np.ndarray:
        """Coverage of regions in the cells of a tile.

        Args:
          tile: of the canvas.
          block: whose feature grid the cells belong to, 1 to 5.
          regions: indices; -1 is a region without any cell.
          once: for statistics: a cell counts in one tile alone, and by the share of it
            that is photo and not padding.

        Returns:
          (len(regions), h, w) float32. A cell has the hard label of the pixel in its
          middle, and the mean of soft coverage over its pixels.
        """
        size, indices = size_multiple(block), np.asarray(regions)
        window = self._regions[tile.window]
        if self._is_hard:
            middle = slice(size // 2, None, size)
            found = window[middle, middle] == indices[:, None, None]
        else:
            cells = np.moveaxis(_cell_means(window, size), 2, 0)
            found = cells[np.maximum(indices, 0)] * (indices >= 0)[:, None, None]
        if once:
            found = found * self._counted(tile, size)
        return np.ascontiguousarray(found, np.float32)

    def _counted(self, tile, size):
        counted = _cell_means(self._inside[tile.window], size)
        for axis, span in enumerate(tile):
            middles = np.arange(counted.shape[axis]) * size + size // 2
            kept = (middles >= span.inner.start) & (middles < span.inner.stop)
            counted = counted * np.expand_dims(kept, 1 - axis)
        return counted


def groups_of_regions(regions: np.ndarray, largest: int = 8) -> Iterator[np.ndarray]:
    """Cut a list of regions into groups of 1, 2, 4 or 8, padded with -1.

    Few sizes of groups mean few compilations, and no group needs much memory.
    """
    for start in range(0, len(regions), largest):
        group = regions[start : start + largest]
        size = 1 << (len(group) - 1).bit_length()
        yield np.concatenate([group, np.full(size - len(group), -1, group.dtype)])


def _widths(side: int) -> tuple[int, int]:
    return BORDER, BORDER + (-side - 2 * BORDER) % BUCKET


def _padded(array: np.ndarray, mode: str) -> np.ndarray:
    """Pad the sides of (h, w, ...); a side of one pixel is repeated."""
    for axis, side in enumerate(array.shape[:2]):
        widths = [(0, 0)] * array.ndim
        widths[axis] = _widths(side)
        repeated = mode == "reflect" and side == 1
        array = np.pad(array, widths, mode="edge" if repeated else mode)
    return array


def _cell_means(array: np.ndarray, size: int) -> np.ndarray:
    height, width, *rest = array.shape
    cells = array.reshape(height // size, size, width // size, size, *rest)
    return cells.mean(axis=(1, 3))


def _whole(side: int) -> Span:
    return Span(0, side, slice(0, side), slice(0, side))


def _disjoint(spans: list[Span]) -> list[Span]:
    """Spans whose kept parts do not overlap."""
    done, result = 0, []
    for span in spans:
        outer = slice(max(span.outer.start, done), span.outer.stop)
        inner = slice(outer.start - span.start, outer.stop - span.start)
        result.append(Span(span.start, span.stop, inner, outer))
        done = outer.stop
    return result
