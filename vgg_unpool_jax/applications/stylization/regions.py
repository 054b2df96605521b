"""Regions of a photo, hard or soft, on pixel and feature grids, and their partners.

Regions of two photos belong together where they have the same name. How a photo is
stylised by them is another module's; here is only which cells they are.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.ndimage
import scipy.sparse

from vgg_unpool_jax.errors import UserError

# How far the shapes of a mask and its photo may be apart, besides rounding to pixels.
ASPECT_TOLERANCE = 0.03
REST = "rest"
# Shares below half a level of 8 bits are rounding of the files.
_ROUNDING = 0.5 / 255


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """Which region each place of a photo belongs to; either labels or weights.

    Attributes:
      names: one a region, all different, such as "#800000" or "3".
      labels: (h, w) int32 in 0..len(names)-1 of hard regions, else None.
      weights: (h, w, len(names)) float32 of soft regions, non-negative with sum 1 over
        the last axis, else None.
    """

    names: tuple[str, ...]
    labels: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __post_init__(self):
        """Refuse what the attributes do not describe."""
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"names must be one or more, all different, got {self.names[:8]}"
            )
        if (self.labels is None) == (self.weights is None):
            raise ValueError("regions need either labels or weights, not both or none")
        if self.labels is not None:
            labels = _checked_labels(self.labels, len(self.names))
            object.__setattr__(self, "labels", labels)
        else:
            weights = _checked_weights(self.weights, len(self.names))
            object.__setattr__(self, "weights", weights)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the grid."""
        array = self.weights if self.labels is None else self.labels
        return array.shape[:2]

    def areas(self) -> np.ndarray:
        """Cells of each region, (len(names),) float64; with parts of soft ones."""
        if self.labels is None:
            return self.weights.sum((0, 1), dtype=np.float64)
        counts = np.bincount(self.labels.ravel(), minlength=len(self.names))
        return counts.astype(np.float64)

    def on_grid(
        self, height: int, width: int, *, covers: tuple[float, float] | None = None
    ) -> "Regions":
        """The regions on another grid over the same photo, finer or coarser.

        Args:
          height: of the grid.
          width: of the grid.
          covers: height and width of the photo in cells of the grid, for a grid that
            ends elsewhere than the photo: features at stride 8 of a photo of 467 rows
            that was padded at the bottom are 59 rows, of which the photo covers 58.375.
            Cells beyond the photo repeat its border. None is the whole grid.

        Returns:
          Labels of the nearest pixel to each cell's centre, or weights averaged over
          the area of each cell.
        """
        sides = (height, width)
        covers = sides if covers is None else covers
        for side, covered in zip(sides, covers, strict=True):
            if side != int(side) or side < 1 or not side - 1 < covered <= side:
                raise ValueError(
                    f"a grid of {height}×{width} cells over {covers[0]}×{covers[1]} of "
                    f"them is none: the photo must end within the last row and column"
                )
        if self.labels is not None:
            rows, columns = (
                _nearest(source, side, covered)
                for source, side, covered in zip(self.shape, sides, covers, strict=True)
            )
            return Regions(self.names, labels=self.labels[np.ix_(rows, columns)])
        return Regions(self.names, weights=_area_mean(self.weights, sides, covers))


def _checked_labels(labels, count: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be whole numbers of shape (height, width), got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= count:
        raise ValueError(
            f"labels must be in 0..{count - 1} for {count} names, got "
            f"{labels.min()}..{labels.max()}"
        )
    return labels.astype(np.int32, copy=False)


def _checked_weights(weights, count: int) -> np.ndarray:
    weights = np.asarray(weights)
    if weights.ndim != 3 or not weights.size or weights.shape[2] != count:
        raise ValueError(
            f"weights must have shape (height, width, {count}) for {count} names, got "
            f"{weights.shape}"
        )
    weights = weights.astype(np.float32, copy=False)
    sums = weights.sum(axis=2)
    # Written so that NaN is refused.
    if not (weights.min() >= 0 and np.abs(sums - 1).max() <= 1e-3):
        raise ValueError(
            f"weights must be non-negative with sum 1 over the last axis, got values "
            f"from {weights.min():g} and sums from {sums.min():g} to {sums.max():g}"
        )
    return weights


def _nearest(source: int, side: int, covered: float) -> np.ndarray:
    """For each cell of a side the index of the pixel at its centre."""
    centres = (np.arange(side) + 0.5) * source / covered
    return np.minimum(centres.astype(np.int64), source - 1)


def _overlaps(source: int, side: int, covered: float) -> scipy.sparse.csr_matrix:
    """(side, source): which share of each cell lies in which pixel."""
    edges = np.minimum(np.arange(side + 1) * (source / covered), source)
    first = np.floor(edges[:-1]).astype(np.int64)
    last = np.maximum(np.ceil(edges[1:]).astype(np.int64), first + 1)
    counts = last - first
    cells = np.repeat(np.arange(side), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    pixels = np.arange(counts.sum()) - starts + first[cells]
    shares = np.minimum(edges[cells + 1], pixels + 1) - np.maximum(edges[cells], pixels)
    shares = shares / (edges[cells + 1] - edges[cells])
    return scipy.sparse.csr_matrix((shares, (cells, pixels)), shape=(side, source))


def _area_mean(weights, sides, covers) -> np.ndarray:
    rows, columns = (
        _overlaps(source, side, covered)
        for source, side, covered in zip(weights.shape[:2], sides, covers, strict=True)
    )
    count = weights.shape[2]
    means = rows @ weights.reshape(len(weights), -1)
    means = means.reshape(sides[0], weights.shape[1], count).swapaxes(0, 1)
    means = columns @ means.reshape(weights.shape[1], -1)
    means = means.reshape(sides[1], sides[0], count).swapaxes(0, 1)
    return np.ascontiguousarray(means, np.float32)


def fit_regions(regions: Regions, height: int, width: int, name: str) -> Regions:
    """The regions at their photo's size.

    Args:
      regions: of any size with the photo's shape: the ratios of the sides may differ by
        3 per cent, and by what rounding to whole pixels makes.
      height: of the photo in pixels.
      width: of the photo in pixels.
      name: of the mask, for the message.
    """
    rows, columns = regions.shape
    across = abs(columns * height - rows * width)
    # A side of either may have been rounded by up to a pixel.
    rounding = max(height, width, rows, columns)
    if across > ASPECT_TOLERANCE * rows * width + rounding:
        turned = abs(rows * height - columns * width)
        hint = (
            "; turned by 90 degrees it would fit"
            if turned <= ASPECT_TOLERANCE * rows * height + rounding
            else ""
        )
        raise UserError(
            f"mask {name} is {columns}×{rows} pixels and its photo {width}×{height}, "
            f"which is another shape: a mask may have another size but must show the "
            f"whole photo{hint}"
        )
    return (
        regions
        if (rows, columns) == (height, width)
        else regions.on_grid(height, width)
    )


def soft_regions(
    layers: Sequence[np.ndarray], names: Sequence[str] | None = None
) -> Regions:
    """Soft regions from one layer each.

    Where the layers of a place sum to less than 1, the difference is one more region,
    "rest"; where they sum to more, they are divided by their sum.

    Args:
      layers: (h, w) each, in [0, 1], all of one shape.
      names: one a layer; None is "0", "1" and so on.
    """
    layers = [np.asarray(layer, np.float32) for layer in layers]
    names = [str(i) for i in range(len(layers))] if names is None else list(names)
    if not layers or len(names) != len(layers):
        raise ValueError(
            f"layers must be one or more with a name each, got {len(layers)} layers "
            f"and {len(names)} names"
        )
    for i, layer in enumerate(layers):
        if layer.ndim != 2 or not layer.size or layer.shape != layers[0].shape:
            raise ValueError(
                f"layers must all have one shape (height, width), got {layer.shape} "
                f"for layer {i} and {layers[0].shape} for the first"
            )
        if not (layer.min() >= 0 and layer.max() <= 1):
            raise ValueError(
                f"layers must be in [0, 1], got {layer.min():g}..{layer.max():g} for "
                f"layer {i}"
            )
    weights = np.stack(layers, axis=2)
    rest = 1 - weights.sum(axis=2)
    if rest.max() > _ROUNDING * (len(layers) + 1):
        weights = np.concatenate([weights, np.maximum(rest, 0)[..., None]], axis=2)
        if REST in names:
            raise ValueError(
                f"names may hold {REST!r} only for layers that sum to 1 everywhere"
            )
        names.append(REST)
    return Regions(names, weights=weights / weights.sum(axis=2, keepdims=True))


def feather(regions: Regions, radius: int) -> Regions:
    """Soft regions that pass into each other over a distance, so that no border shows.

    Args:
      regions: hard or soft. The result holds a float32 for every place and region:
        where both are many, bring them to a coarser grid first.
      radius: in pixels of their grid; weights are means over squares of 2·radius + 1.
        0 only makes hard regions soft.

    Returns:
      Soft regions of the same names and shape.
    """
    if radius != int(radius) or radius < 0:
        raise ValueError(f"radius must be a whole number of at least 0, got {radius!r}")
    count = len(regions.names)
    weights = np.empty((*regions.shape, count), np.float32)
    for i in range(count):
        layer = (
            regions.weights[..., i] if regions.labels is None else regions.labels == i
        )
        weights[..., i] = scipy.ndimage.uniform_filter(
            layer.astype(np.float64), 2 * int(radius) + 1, mode="nearest"
        )
    # The filter's running sums leave rounding errors, also below 0.
    weights = np.maximum(weights, 0)
    return Regions(regions.names, weights=weights / weights.sum(axis=2, keepdims=True))
