"""A photo on its way through the levels: padded, with its regions, cut into tiles.

Photos are padded by reflection: by `BORDER` pixels on every side, so that the zeros
that VGG19's convolutions pad with do not become a frame, and at the bottom and right on
to a multiple of `BUCKET` pixels, so that photos of one bucket share their compiled
programs. What is padded counts in no statistics and is cut off in the end. A canvas
with a side longer than a tile is done in tiles, which overlap as in `tiling`. The
statistics are those of the whole photo, whatever tile a place is in, and so there are
no seams.
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
      rows: where it is, and which part of it is kept, along the height.
      columns: the same along the width.
    """

    rows: Span
    columns: Span

    @property
    def window(self) -> tuple[slice, slice]:
        """Where it is on the canvas."""
        return tuple(slice(span.start, span.stop) for span in self)


def to_canvas(images: np.ndarray) -> np.ndarray:
    """Pad (n, h, w, c) photos to a canvas."""
    return np.stack([_padded(image, "reflect") for image in images])


def from_canvas(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut (n, h, w, c) photos of a size out of their canvas."""
    return images[:, BORDER : BORDER + height, BORDER : BORDER + width]


def cut_tiles(height: int, width: int, block: int, tile: int) -> list[Tile]:
    """Tiles of a canvas; one that is the canvas where that is no larger than a tile.

    Args:
      height: of the canvas, a multiple of `BUCKET`.
      width: of the canvas, a multiple of `BUCKET`.
      block: of the pair, 1 to 5.
      tile: largest side in pixels, margins included; 0 does every canvas whole.

    Returns:
      Tiles of one size, whose kept parts cover the canvas and do not overlap.
    """
    if not tile or max(height, width) <= tile:
        return [Tile(*(_whole(side) for side in (height, width)))]
    margin = receptive_margin(block)
    # Rounding then falls as in the whole photo.
    grid = size_multiple(block) * winograd.TILE
    rows, columns = (
        _disjoint(tile_spans(side, tile, margin, grid)) for side in (height, width)
    )
    return [Tile(row, column) for row in rows for column in columns]


class RegionMap:
    """How much each place of a canvas belongs to each region, at any level.

    Attributes:
      names: of the regions.
    """

    def __init__(self, height: int, width: int, regions: Regions | None = None):
        """Lay the regions of a photo on its canvas.

        Args:
          height: of the photo.
          width: of the photo.
          regions: of the photo's size; None is one region, all of it.
        """
        if regions is None:
            labels = np.zeros((height, width), np.int32)
            regions = Regions(("all",), labels=labels)
        if regions.shape != (height, width):
            raise ValueError(
                f"regions must have the photo's size, {height}×{width}, got "
                f"{regions.shape[0]}×{regions.shape[1]}"
            )
        self.names = regions.names
        self._inside = _padded(np.ones((height, width), np.float32), "constant")
        self._labels = self._weights = None
        if regions.labels is not None:
            self._labels = _padded(regions.labels, "reflect")
        else:
            self._weights = _padded(regions.weights, "reflect")

    def present(self, tile: Tile) -> np.ndarray:
        """Indices of the regions that a tile has a part in, its margins included."""
        if self._labels is not None:
            return np.unique(self._labels[tile.window])
        return np.flatnonzero(self._weights[tile.window].any(axis=(0, 1)))

    def weights(
        self, tile: Tile, block: int, regions: Sequence[int], *, once: bool = False
    ) -> np.ndarray:
        """Weights of regions on the feature grid of a tile.

        Args:
          tile: of the canvas.
          block: level of the features, 1 to 5.
          regions: indices; -1 is a region that is nowhere.
          once: as statistics want it: a place counts in one of all tiles alone, and by
            how much of it is photo and not padding.

        Returns:
          (len(regions), h, w) float32. Hard labels are those in the middle of a cell
          (nearest neighbour), soft weights their mean over it.
        """
        size, wanted = size_multiple(block), np.asarray(regions)[:, None, None]
        if self._labels is not None:
            middle = slice(size // 2, None, size)
            found = self._labels[tile.window][middle, middle] == wanted
        else:
            cells = _cell_means(self._weights[tile.window], size)
            found = np.moveaxis(cells, 2, 0)[np.maximum(wanted[:, 0, 0], 0)]
            found = found * (wanted >= 0)
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
    """Cut a list of regions into groups of 1, 2, 4 or 8, filled up with -1.

    Few sizes of groups are few compilations, and no group needs much memory.
    """
    for start in range(0, len(regions), largest):
        group = regions[start : start + largest]
        size = 1 << (len(group) - 1).bit_length()
        yield np.concatenate([group, np.full(size - len(group), -1, group.dtype)])


def _widths(side: int) -> tuple[int, int]:
    return BORDER, BORDER + (-side - 2 * BORDER) % BUCKET


def _padded(array: np.ndarray, mode: str) -> np.ndarray:
    """Pad the sides of (h, w, ...); where nothing can be reflected it is repeated."""
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
    """Spans of which each begins to keep where the one before ends."""
    done, result = 0, []
    for span in spans:
        outer = slice(max(span.outer.start, done), span.outer.stop)
        inner = slice(outer.start - span.start, outer.stop - span.start)
        result.append(Span(span.start, span.stop, inner, outer))
        done = outer.stop
    return result
