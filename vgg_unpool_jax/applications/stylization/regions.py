"""Regions of a photo, hard or soft, and which regions of two photos belong together.

Regions of two photos belong together where they have the same name.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vgg_unpool_jax.errors import MaskError, require_list

# How much the aspect ratios of a mask and its photo may differ, besides rounding to
# pixels.
ASPECT_TOLERANCE = 0.03
REST = "rest"
# Shares below half a level of 8 bits are rounding of the files.
_ROUNDING = 0.5 / 255

# PhotoWCT's limits.
SMALLEST_CELLS = 10
LARGEST_RATIO = 100.0
_NAMES_SHOWN = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """The region of each pixel of a photo; either labels or coverage.

    Attributes:
      names: one per region, all different, such as "#800000" or "3".
      labels: (h, w) int32 in 0..len(names)-1 of hard regions, else None.
      coverage: (h, w, len(names)) float32 of soft regions, non-negative with sum 1 over
        the last axis, else None.
    """

    names: tuple[str, ...]
    labels: np.ndarray | None = None
    coverage: np.ndarray | None = None

    def __post_init__(self):
        """Check that the arrays are as described."""
        require_list("names", self.names)
        object.__setattr__(self, "names", tuple(self.names))
        count = len(self.names)
        if not count or len(set(self.names)) != count:
            raise ValueError(
                f"names must be one or more, all different, got {self.names[:8]}"
            )
        if (self.labels is None) == (self.coverage is None):
            raise ValueError("regions need either labels or coverage")
        if self.labels is not None:
            labels = np.asarray(self.labels)
            whole = labels.ndim == 2 and labels.size and labels.dtype.kind in "iu"
            if not whole or labels.min() < 0 or labels.max() >= count:
                raise ValueError(
                    f"labels must be whole numbers in 0..{count - 1} of shape (height, "
                    f"width), got {labels.dtype} of shape {labels.shape}"
                )
            object.__setattr__(self, "labels", labels.astype(np.int32, copy=False))
        else:
            coverage = np.asarray(self.coverage, np.float32)
            if (
                coverage.ndim != 3
                or not coverage.size
                or coverage.shape[2] != count
                # Written so that NaN is refused.
                or not coverage.min() >= 0
                or not np.abs(coverage.sum(axis=2) - 1).max() <= 1e-3
            ):
                raise ValueError(
                    f"coverage must have shape (height, width, {count}), be "
                    f"non-negative and sum to 1 over the last axis, got shape "
                    f"{coverage.shape}"
                )
            object.__setattr__(self, "coverage", coverage)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the grid."""
        array = self.coverage if self.labels is None else self.labels
        return array.shape[:2]

    def areas(self) -> np.ndarray:
        """Cells of each region, (len(names),) float64; with parts of soft ones."""
        if self.labels is None:
            return self.coverage.sum((0, 1), dtype=np.float64)
        counts = np.bincount(self.labels.ravel(), minlength=len(self.names))
        return counts.astype(np.float64)

    def on_grid(self, height: int, width: int) -> "Regions":
        """The regions on another grid over the same photo, finer or coarser.

        Returns:
          Labels of the nearest pixel to each cell's centre, or coverage averaged over
          the area of each cell; the regions as they are on their own grid.
        """
        if self.shape == (height, width):
            return self
        if self.labels is None:
            # Imported here: it loads for half a second and few photos need it.
            from skimage.transform import resize_local_mean

            mean = resize_local_mean(self.coverage, (height, width), channel_axis=2)
            return Regions(self.names, coverage=mean)
        rows, columns = (
            ((np.arange(side) + 0.5) * source / side).astype(np.int64)
            for source, side in zip(self.shape, (height, width), strict=True)
        )
        return Regions(self.names, labels=self.labels[np.ix_(rows, columns)])


def fit_regions(regions: Regions, height: int, width: int, name: str) -> Regions:
    """The regions at their photo's size.

    Args:
      regions: of any size with the photo's shape: the aspect ratios may differ by 3 per
        cent, and by the rounding to whole pixels.
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
        raise MaskError(
            f"mask {name} is {columns}×{rows} pixels and its photo {width}×{height}, "
            f"which is another shape: a mask may have another size but must show the "
            f"whole photo{hint}"
        )
    return regions.on_grid(height, width)


def soft_regions(layers: Sequence[np.ndarray], names: Sequence[str]) -> Regions:
    """Soft regions from one layer each.

    Where the layers of a pixel sum to less than 1, the difference is one more region,
    "rest"; where they sum to more, they are divided by their sum.

    Args:
      layers: (h, w) each, in [0, 1], one or more, all of one shape.
      names: one per layer.
    """
    require_list("names", names)
    names, coverage = list(names), np.stack(layers, axis=2).astype(np.float32)
    rest = 1 - coverage.sum(axis=2)
    if rest.max() > _ROUNDING * (len(layers) + 1):
        coverage = np.concatenate([coverage, np.maximum(rest, 0)[..., None]], axis=2)
        if REST in names:
            raise MaskError(
                f"a layer may be named {REST!r} only if all layers sum to 1 everywhere"
            )
        names.append(REST)
    return Regions(names, coverage=coverage / coverage.sum(axis=2, keepdims=True))


@dataclasses.dataclass(frozen=True)
class Matching:
    """The style region that each content region takes its look from.

    Attributes:
      pairs: for each content region the index of the style region, or -1 where the
        statistics of both whole images are used.
      sentences: for the user: which regions are not paired, and why.
    """

    pairs: tuple[int, ...]
    sentences: tuple[str, ...]


def match_regions(
    content: Regions, style_names: Sequence[str], style_areas: Sequence[float]
) -> Matching:
    """Pair regions by name where both sides have enough cells for statistics.

    A region of `SMALLEST_CELLS` cells or fewer has no statistics of its own, and
    neither region may be `LARGEST_RATIO` times larger than the other.

    Args:
      content: regions on the grid whose cells the statistics are taken of.
      style_names: of the style's regions.
      style_areas: their cells.

    Returns:
      A pair or -1 for every content region. No sentence mentions regions without cells.

    Source: the limits are those of PhotoWCT, Li et al. 2018, arXiv 1802.06474.
    """
    positions = {name: i for i, name in enumerate(style_names)}
    content_areas = dict(zip(content.names, content.areas(), strict=True))
    unpaired: dict[str, list[str]] = {}
    pairs = []
    for name, area in content_areas.items():
        partner = positions.get(name, -1)
        theirs = style_areas[partner] if partner >= 0 else 0.0
        if area == 0:
            trouble = None
        elif theirs == 0:
            trouble = "in the content alone"
        elif area <= SMALLEST_CELLS:
            trouble = f"too small in the content (at most {SMALLEST_CELLS} cells)"
        elif theirs <= SMALLEST_CELLS:
            trouble = f"too small in the style (at most {SMALLEST_CELLS} cells)"
        elif not 1 / LARGEST_RATIO < area / theirs < LARGEST_RATIO:
            trouble = f"{LARGEST_RATIO:g} times larger on one side than on the other"
        else:
            pairs.append(partner)
            continue
        pairs.append(-1)
        if trouble:
            unpaired.setdefault(trouble, []).append(name)
    sentences = [
        _sentence(names, trouble, "stylised with the statistics of the whole images")
        for trouble, names in unpaired.items()
    ]
    alone = [
        name
        for name, area in zip(style_names, style_areas, strict=True)
        if area > 0 and not content_areas.get(name)
    ]
    if alone:
        sentences.append(_sentence(alone, "in the style alone", "not used by itself"))
    return Matching(tuple(pairs), tuple(sentences))


def _sentence(names: Sequence[str], trouble: str, consequence: str) -> str:
    subject = "regions" if len(names) > 1 else "region"
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    listed = f"{shown} and {more} more" if more > 0 else shown
    return f"{subject} {listed}: {trouble}; {consequence}"
