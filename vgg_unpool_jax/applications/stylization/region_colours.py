"""Which regions the colours of a mask mean: the rule of `separate`, on arrays.

A mask is a picture whose colours are labels. Programs that draw, resize or compress
masks add colours that mean nothing: grey rims between black and white, (255, 1, 1)
beside (255, 0, 0). No palette tells them apart here, but their shape does: a label
covers areas, a rim is thin and its colour lies between those on its two sides.

1. A colour is *solid* if it fills a square of 3×3 pixels somewhere. It is a *rim* if it
   is not, and most of its pixels lie between their neighbours' colours: in no channel
   lowest or highest of the 3×3 pixels around, in those channels that differ there by
   more than noise.
2. A mask with no more rims than solid colours, and not rims alone, is *exact*: all its
   colours are labels as they are, were they 0, 1, 2 and 3, except for its rims; but
   not where it has more than 32 colours and 90 % of its borders are between colours
   that differ by up to 2, as in a feathered mask. Exact, rims and all, is one of 16
   bits or more, and one in a lossless format with at most 256 colours in which rule 3
   finds no labels.
3. In all other masks the labels are found by frequency: the most frequent colour takes
   those that differ by up to 8 of 255 in every channel, then the next of those that are
   left, and so on. It is a label if half of the pixels so near to it differ by up to 2
   only (a gradient spreads evenly), and solid squares of what it took cover 0.05 % of
   the mask.
   A label whose colour lies between two other labels' keeps only what such squares
   cover: the rest of it may be their rim. All labels together must cover 75 % of the
   mask: else it is no mask but, say, a photo.
4. Pixels without a label take that of the nearest pixel that has one.
5. Of two masks, a label of one that was found by frequency is that label of the other
   which is nearest to it and differs by up to 8 in every channel.
"""

import dataclasses

import numpy as np
import scipy.ndimage
import scipy.spatial

TOLERANCE = 8
_CORE = 2
_CORE_SHARE = 0.5
_SOLID_SHARE = 0.0005
_COVERED_SHARE = 0.75
# Rarer colours cannot become labels; without the bound photos would take minutes.
_CANDIDATE_SHARE = 0.0001
_MOST_EXACT = 256
_FEW = 32
_GRADIENT_SHARE = 0.9
# How far a colour may be from the line between two others, of 255, to be their mixture.
_MIXTURE_DISTANCE = 24
_SQUARE = np.ones((3, 3), bool)


class NoMaskError(ValueError):
    """A picture whose colours are no labels; the message says what they are."""


@dataclasses.dataclass(frozen=True)
class Separated:
    """The labels of one mask.

    Attributes:
      colours: (k, c) whole numbers, the colours of its labels, without repetition.
      labels: (h, w) int32 in 0..k-1.
      exact: whether the colours are labels as they are.
    """

    colours: np.ndarray
    labels: np.ndarray
    exact: bool


def separate(pixels: np.ndarray, *, lossless: bool = True) -> Separated:
    """Find the regions of a mask by the rule above.

    Args:
      pixels: (h, w, c) whole numbers; uint8 for colours in [0, 255], others are labels
        as they are.
      lossless: whether the file's format keeps colours.

    Returns:
      Labels in the order of their colours.
    """
    colours, indices, counts = _distinct(pixels)
    if pixels.dtype != np.uint8:
        return Separated(colours, indices, exact=True)
    solid = np.zeros(len(colours), bool)
    solid[np.unique(indices[_uniform(indices)])] = True
    between = np.bincount(indices[_between(pixels)], minlength=len(colours))
    rims = ~solid & (2 * between > counts)
    areas = solid.any() and rims.sum() <= solid.sum()
    if areas and not (len(colours) > _FEW and _is_gradient(pixels)):
        labels = _fill(np.where(rims[indices], -1, indices))
        return Separated(*_compacted(colours, labels), exact=True)
    labels = _frequent_labels(colours, indices, counts)
    covered = (labels >= 0).mean()
    if covered >= _COVERED_SHARE:
        return Separated(*_compacted(colours, _fill(labels)), exact=False)
    if lossless and len(colours) <= _MOST_EXACT:
        return Separated(colours, indices, exact=True)
    raise NoMaskError(
        f"it has {len(colours)} colours and no few of them cover it (areas of one "
        f"colour are {covered:.0%} of it)"
    )


def join(
    first: Separated, second: Separated
) -> tuple[np.ndarray, Separated, Separated]:
    """Give two masks the same labels for the same colours.

    Args:
      first: one mask.
      second: the other, with as many channels.

    Returns:
      colours: (k, c) of both, in order, where a colour of one that was found by
        frequency stands for the near colour of the other.
      first, second: with labels that are indices into them.
    """
    if first.exact or not second.exact:
        renamed = first, _snapped(second, first.colours)
    else:
        renamed = _snapped(first, second.colours), second
    both = np.concatenate([one.colours for one in renamed])
    colours, places = np.unique(both, axis=0, return_inverse=True)
    places = places.reshape(-1).astype(np.int32)
    split = len(renamed[0].colours)
    joined = [
        Separated(colours, where[one.labels], one.exact)
        for one, where in zip(renamed, (places[:split], places[split:]), strict=True)
    ]
    return colours, *joined


def _snapped(mask: Separated, targets: np.ndarray) -> Separated:
    """A mask whose inexact colours are replaced by the nearest target within reach."""
    if mask.exact:
        return mask
    distances, nearest = scipy.spatial.KDTree(targets).query(mask.colours, p=np.inf)
    near = distances <= TOLERANCE
    colours = np.where(near[:, None], targets[nearest], mask.colours)
    return Separated(colours, mask.labels, mask.exact)


def _distinct(pixels: np.ndarray):
    """Distinct colours in order, the index of each pixel's, and how many have each."""
    height, width, channels = pixels.shape
    keys = np.zeros((height, width), np.int64)
    for channel in range(channels):
        # Channels are of 8 bits where there are several.
        keys = keys * 256 + pixels[..., channel]
    if keys.min() >= 0 and keys.max() < 256**3:
        # Large masks would take seconds to sort.
        table = np.bincount(keys.ravel())
        found = np.flatnonzero(table)
        counts = table[found]
        places = np.zeros(len(table), np.int32)
        places[found] = np.arange(len(found))
        indices = places[keys]
    else:
        found, indices, counts = np.unique(
            keys, return_inverse=True, return_counts=True
        )
    shifts = 256 ** np.arange(channels - 1, -1, -1)
    colours = found[:, None]
    if channels > 1:
        colours = found[:, None] // shifts % 256
    return colours, indices.reshape(height, width).astype(np.int32), counts


def _uniform(indices: np.ndarray) -> np.ndarray:
    """Whether the 3×3 pixels around each pixel, itself included, are all alike."""
    lowest = scipy.ndimage.minimum_filter(indices, 3, mode="nearest")
    return lowest == scipy.ndimage.maximum_filter(indices, 3, mode="nearest")


def _between(pixels: np.ndarray) -> np.ndarray:
    """Whether each pixel's colour lies between those of the 3×3 pixels around it."""
    inside = np.ones(pixels.shape[:2], bool)
    varied = np.zeros(pixels.shape[:2], bool)
    for channel in np.moveaxis(pixels, 2, 0):
        lowest = scipy.ndimage.minimum_filter(channel, 3, mode="nearest")
        highest = scipy.ndimage.maximum_filter(channel, 3, mode="nearest")
        varies = highest - lowest > _CORE
        # Colours next to each other (0, 1, 2) vary by less; one channel is enough.
        inside &= ~varies | ((lowest < channel) & (channel < highest))
        varied |= varies
    return inside & varied


def _is_gradient(pixels: np.ndarray) -> bool:
    """Whether most pixels that differ from a neighbour differ by little."""
    steps = [
        np.abs(np.diff(pixels.astype(np.int16), axis=axis)).max(axis=2)
        for axis in (0, 1)
    ]
    borders = sum(int((step > 0).sum()) for step in steps)
    small = sum(int(((step > 0) & (step <= _CORE)).sum()) for step in steps)
    return small > _GRADIENT_SHARE * borders


def _frequent_labels(colours, indices, counts) -> np.ndarray:
    """Labels by frequency: (h, w) indices of colours, -1 for pixels without one."""
    total = indices.size
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= max(2, _CANDIDATE_SHARE * total)]
    free, anchors = np.ones(len(order), bool), []
    candidates = colours[order]
    for i in range(len(order)):
        if free[i]:
            anchors.append(i)
            free &= np.abs(candidates - candidates[i]).max(axis=1) > TOLERANCE
    if not anchors:
        return np.full(indices.shape, -1, np.int32)
    anchors = order[anchors]
    every = scipy.spatial.KDTree(colours)
    areas, cores = (
        np.array(
            [
                counts[near].sum()
                for near in every.query_ball_point(colours[anchors], radius, p=np.inf)
            ]
        )
        for radius in (TOLERANCE, _CORE)
    )
    distances, nearest = scipy.spatial.KDTree(colours[anchors]).query(colours, p=np.inf)
    taken = np.where(distances <= TOLERANCE, nearest, -1)
    labels = taken.astype(np.int32)[indices]
    solid = np.where(_uniform(labels), labels, -1)
    squares = np.bincount(solid[solid >= 0], minlength=len(anchors))
    is_label = (cores >= _CORE_SHARE * areas) & (squares >= _SOLID_SHARE * total)
    labels = np.where((labels >= 0) & is_label[labels], labels, -1)
    mixed = np.zeros(len(anchors), bool)
    mixed[is_label] = _mixtures(colours[anchors[is_label]])
    thin = (labels >= 0) & mixed[labels] & ~_covered_by_squares(labels, solid)
    return np.where((labels >= 0) & ~thin, anchors[labels], -1).astype(np.int32)


def _covered_by_squares(labels: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Whether each pixel lies in a 3×3 square of its own label."""
    height, width = labels.shape
    padded = np.pad(solid, 1, constant_values=-1)
    covered = np.zeros(labels.shape, bool)
    for row in range(3):
        for column in range(3):
            covered |= padded[row : row + height, column : column + width] == labels
    return covered


def _mixtures(colours: np.ndarray) -> np.ndarray:
    """Which colours lie on the line between two others."""
    colours = colours.astype(np.float64)
    mixed = np.zeros(len(colours), bool)
    for i, colour in enumerate(colours):
        others = np.delete(colours, i, axis=0)
        for start in range(len(others) - 1):
            lines = others[start + 1 :] - others[start]
            offset = colour - others[start]
            along = (lines @ offset) / np.maximum((lines**2).sum(axis=1), 1)
            away = np.linalg.norm(offset - along[:, None] * lines, axis=1)
            mixed[i] |= bool(
                ((along > 0) & (along < 1) & (away <= _MIXTURE_DISTANCE)).any()
            )
    return mixed


def _fill(labels: np.ndarray) -> np.ndarray:
    """Labels where pixels without one (-1) take the nearest pixel's."""
    return nearest_where(labels < 0, labels)


def nearest_where(missing: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Replace some pixels by the nearest of the others.

    Args:
      missing: (h, w) bool, not True everywhere.
      values: (h, w, ...).

    Returns:
      A copy of the values, or themselves where nothing is missing.
    """
    if not missing.any():
        return values
    rows, columns = scipy.ndimage.distance_transform_edt(
        missing, return_distances=False, return_indices=True
    )
    return values[rows, columns]


def _compacted(colours: np.ndarray, labels: np.ndarray):
    """Only those colours that are in use, and labels to match."""
    used, places = np.unique(labels, return_inverse=True)
    return colours[used], places.reshape(labels.shape).astype(np.int32)
