"""Labels of a mask from its colours: the rule of `separate`, on arrays.

A mask is a picture whose colours are labels. Programs that draw, resize or compress
masks add colours that mean nothing: grey rims between black and white, (255, 1, 1)
beside (255, 0, 0). They are separated from labels by their shape: a label covers areas,
a rim is thin.

1. A colour is *solid* if it fills a square of 3×3 pixels somewhere. It is a *rim* if it
   is not, and most of its pixels lie between their neighbours' colours: in no channel
   lowest or highest of the 3×3 pixels around.
2. A mask with no more rims than solid colours is *exact*: all its colours but the rims
   are labels, even 0, 1, 2 and 3. A mask of 16 bits or more is always exact, rims and
   all. A mask in a lossy format, which changes colours a little, is exact only if all
   its colours are solid and two of them differ by up to 8 of 255 in every channel:
   label numbers that the file has kept.
3. In all other masks the labels are found by frequency: the most frequent colour takes
   those that differ by up to 8 of 255 in every channel, then the next of those that are
   left, and so on. It is a label where it fills squares of 3×3 pixels that cover 0.05 %
   of the mask, if half of the pixels near its colour differ by up to 2 only (a gradient
   spreads evenly). A label whose colour lies between two other labels' may be their
   rim: it is kept where a connected piece of it has such a square. All labels together
   must cover 75 % of the mask. Otherwise it is a photo, or, in a lossless format with
   at most 256 colours, exact, rims and all.
4. Pixels without a label take that of the nearest pixel that has one.
5. Of two masks, a label of one that was found by frequency is that label of the other
   which is nearest to it and differs by up to 8 in every channel.
"""

import dataclasses

import numpy as np
import scipy.ndimage
import scipy.spatial
import skimage.measure

TOLERANCE = 8
_CORE = 2
_CORE_SHARE = 0.5
_SOLID_SHARE = 0.0005
_COVERED_SHARE = 0.75
# Rarer colours cannot become labels; without the bound photos would take minutes.
_CANDIDATE_SHARE = 0.0001
_MOST_EXACT = 256
# Largest distance, of 255, from the line between two colours to be their mixture.
_MIXTURE_DISTANCE = 24


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


def separate(pixels: np.ndarray, *, lossless: bool = True) -> Separated | None:
    """Find the labels of a mask by the rule above.

    Args:
      pixels: (h, w, c) whole numbers; uint8 for colours in [0, 255], others are labels
        as they are.
      lossless: whether the file's format keeps colours.

    Returns:
      Labels in the order of their colours; None for a picture that is no mask.
    """
    flat = pixels.reshape(-1, pixels.shape[2])
    # Pictures of several channels have 8 bits each.
    keys = flat @ 256 ** np.arange(pixels.shape[2], dtype=np.int64)[::-1]
    # Narrow integers are sorted in linear time.
    keys = keys.astype(np.min_scalar_type(keys.max()))
    _, first, indices, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    colours = flat[first].astype(np.int64)
    indices = indices.reshape(pixels.shape[:2]).astype(np.int32)
    if pixels.dtype != np.uint8:
        return Separated(colours, indices, exact=True)
    solid = np.zeros(len(colours), bool)
    solid[indices[_is_uniform(indices)]] = True
    between = np.bincount(indices[_is_between(pixels)], minlength=len(colours))
    rims = ~solid & (2 * between > counts)
    is_exact = solid.any() and rims.sum() <= solid.sum()
    if is_exact and (lossless or (solid.all() and _are_near(colours))):
        labels = np.where(rims[indices], -1, indices)
        return _filled(colours, labels, exact=True)
    labels = _frequent_labels(colours, indices, counts)
    if (labels >= 0).mean() >= _COVERED_SHARE:
        return _filled(colours, labels, exact=False)
    if lossless and len(colours) <= _MOST_EXACT:
        return Separated(colours, indices, exact=True)
    return None


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
        renamed = first.colours, _snapped(second, first.colours)
    else:
        renamed = _snapped(first, second.colours), second.colours
    colours, indices = np.unique(np.concatenate(renamed), axis=0, return_inverse=True)
    indices = np.split(indices.reshape(-1).astype(np.int32), [len(renamed[0])])
    joined = [
        Separated(colours, index[one.labels], one.exact)
        for one, index in zip((first, second), indices, strict=True)
    ]
    return colours, *joined


def _snapped(mask: Separated, targets: np.ndarray) -> np.ndarray:
    """Colours of a mask; inexact ones become the nearest target within reach."""
    if mask.exact:
        return mask.colours
    distances, nearest = scipy.spatial.KDTree(targets).query(mask.colours, p=np.inf)
    return np.where(distances[:, None] <= TOLERANCE, targets[nearest], mask.colours)


def _are_near(colours: np.ndarray) -> bool:
    """Whether two of them differ by up to `TOLERANCE` in every channel."""
    distances, _ = scipy.spatial.KDTree(colours).query(colours, k=2, p=np.inf)
    return distances[:, 1].min() <= TOLERANCE


def _is_uniform(indices: np.ndarray) -> np.ndarray:
    """Whether the 3×3 pixels around each pixel, itself included, are all alike."""
    lowest = scipy.ndimage.minimum_filter(indices, 3, mode="nearest")
    return lowest == scipy.ndimage.maximum_filter(indices, 3, mode="nearest")


def _is_between(pixels: np.ndarray) -> np.ndarray:
    """Whether each pixel's colour lies between those of the 3×3 pixels around it."""
    lowest, highest = (
        extreme(pixels, (3, 3, 1), mode="nearest")
        for extreme in (scipy.ndimage.minimum_filter, scipy.ndimage.maximum_filter)
    )
    # Neighbouring labels (0, 1, 2) vary by less; one channel that varies is enough.
    varies = highest - lowest > _CORE
    inside = ~varies | ((lowest < pixels) & (pixels < highest))
    return inside.all(axis=2) & varies.any(axis=2)


def _frequent_labels(colours, indices, counts) -> np.ndarray:
    """Labels by frequency: (h, w) indices of colours, -1 for pixels without one."""
    total = indices.size
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= max(2, _CANDIDATE_SHARE * total)]
    candidates, free = colours[order], np.ones(len(order), bool)
    anchors = []
    for i in range(len(order)):
        if free[i]:
            anchors.append(order[i])
            free &= np.abs(candidates - candidates[i]).max(axis=1) > TOLERANCE
    if not anchors:
        return np.full(indices.shape, -1, np.int32)
    anchors, tree = np.array(anchors), scipy.spatial.KDTree(colours)
    areas, cores = (
        [
            counts[near].sum()
            for near in tree.query_ball_point(colours[anchors], r, np.inf)
        ]
        for r in (TOLERANCE, _CORE)
    )
    distances, nearest = scipy.spatial.KDTree(colours[anchors]).query(colours, p=np.inf)
    labels = np.where(distances <= TOLERANCE, nearest, -1).astype(np.int32)[indices]
    centres = np.where(_is_uniform(labels), labels, -1)
    squares = np.bincount(centres[centres >= 0], minlength=len(anchors))
    is_label = np.greater_equal(cores, _CORE_SHARE * np.array(areas))
    is_label &= squares >= _SOLID_SHARE * total
    kept = (labels >= 0) & is_label[labels]
    # Thin pieces of a mixture by themselves may be rims of the labels that it mixes.
    mixed = np.zeros(len(anchors), bool)
    mixed[is_label] = _are_mixtures(colours[anchors[is_label]])
    pieces = skimage.measure.label(labels, background=-1, connectivity=1)
    with_square = np.zeros(pieces.max() + 1, bool)
    with_square[pieces[centres >= 0]] = True
    kept &= with_square[pieces] | ~mixed[labels]
    return np.where(kept, anchors[labels], -1).astype(np.int32)


def _are_mixtures(colours: np.ndarray) -> np.ndarray:
    """Whether each colour lies on the line between two others."""
    mixed = np.zeros(len(colours), bool)
    for i, colour in enumerate(colours):
        others = np.delete(colours, i, axis=0) - colour
        lines = others - others[:, None]
        lengths = np.maximum((lines**2).sum(axis=-1), 1)
        along = -(others[:, None] * lines).sum(axis=-1) / lengths
        away = others[:, None] + along[..., None] * lines
        near = np.linalg.norm(away, axis=-1) <= _MIXTURE_DISTANCE
        mixed[i] = (near & (along > 0) & (along < 1)).any()
    return mixed


def _filled(colours: np.ndarray, labels: np.ndarray, *, exact: bool) -> Separated:
    """Missing labels (-1) filled, and only those colours that are in use."""
    labels = nearest_where(labels < 0, labels)
    used, indices = np.unique(labels, return_inverse=True)
    indices = indices.reshape(labels.shape).astype(np.int32)
    return Separated(colours[used], indices, exact)


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
