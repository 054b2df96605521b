"""Regions of two photos without masks: clusters of their VGG19 features.

The cells of both photos are clustered together, so that a region means the same on both
sides: features scaled to length 1, as their length is contrast rather than content, and
the place in the photo beside them, as skies are above and grounds below.

This finds what fills a photo, such as sky, rock, trees and floor. It does not know
objects: a glass before a busy background is not found, and walls may go with ceilings.
Where that matters, paint masks. block5_conv2 and 3 regions did best on five pairs of
photos with painted masks: a place of the content got its look from places of the same
painted region to 80 per cent, and without regions to 46. With more regions, or at
block4_conv2 (67 per cent), clear and cloudy skies become different ones.
"""

import numpy as np
import scipy.ndimage
import scipy.sparse

from vgg_unpool_jax.applications.stylization.regions import Regions

# Directions of most variance that are kept of the features.
_COMPONENTS = 40
# How far top and bottom are apart, where features are one apart on average; left and
# right mean less.
_VERTICAL, _HORIZONTAL = 0.6, 0.18
# Starts are drawn and compared on a sample, which is then taken to all cells.
_STARTS, _SAMPLE = 4, 4000
_SAMPLE_STEPS, _STEPS = 40, 10
# Of the mean squared distance to the own centre: where two centres are equally far by
# so much, a cell is shared by e to 1.
_SOFTNESS = 0.2
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def automatic_regions(
    content_features, style_features, *, count: int = 3, seed: int = 0
) -> tuple[Regions, Regions]:
    """Find regions that two photos have in common.

    Args:
      content_features: (h, w, c) of VGG19, best of block5_conv2, of the whole photo.
      style_features: (h, w, c) of the same layer, of any size.
      count: of regions, at least 2.
      seed: of the random starts; the same gives the same regions.

    Returns:
      Soft regions of the content and the style on their grids, of the same names, "0"
      to "{count - 1}" from the top to the bottom. A region may be small or absent on
      one side, which is for `match_regions` to say.

    Source: k-means++, Arthur & Vassilvitskii 2007.
    """
    sides = [
        _checked_features(content_features, "content_features"),
        _checked_features(style_features, "style_features"),
    ]
    if sides[0].shape[2] != sides[1].shape[2]:
        raise ValueError(
            f"content_features and style_features must have the same channels, got "
            f"{sides[0].shape[2]} and {sides[1].shape[2]}"
        )
    grids = [side.shape[:2] for side in sides]
    cells = min(height * width for height, width in grids)
    if count != int(count) or not 2 <= count <= cells:
        raise ValueError(
            f"count must be a whole number from 2 to {cells}, the cells of the smaller "
            f"photo, got {count!r}"
        )
    count = int(count)
    places = np.concatenate([_places(*grid) for grid in grids])
    points = np.concatenate([_reduced(sides), places], axis=1)
    centres = _k_means(points, count, np.random.default_rng(seed))
    # From the top to the bottom, so that names tell something.
    centres = centres[np.argsort(centres[:, -2], kind="stable")]
    distances = _squared_distances(points, centres)
    scale = max(_SOFTNESS * float(distances.min(axis=1).mean()), 1e-12)
    weights = np.exp((distances.min(axis=1, keepdims=True) - distances) / scale)
    weights /= weights.sum(axis=1, keepdims=True)
    names = [str(i) for i in range(count)]
    split = grids[0][0] * grids[0][1]
    return tuple(
        Regions(names, weights=part.reshape(*grid, count))
        for part, grid in zip((weights[:split], weights[split:]), grids, strict=True)
    )


def refine_regions(
    regions: Regions,
    photo,
    *,
    radius: int = 20,
    epsilon: float = 1e-3,
    covers: tuple[float, float] | None = None,
) -> Regions:
    """Bring soft regions of a feature grid to their photo's size and edges.

    Args:
      regions: soft, on a coarse grid.
      photo: (h, w, 3) RGB in [0, 255].
      radius: in pixels, how far an edge of the photo may be from the cells' border;
        about the stride of the grid.
      epsilon: variance of the photo's luma in [0, 1] below which there is no edge.
      covers: as for `Regions.on_grid`: the photo's height and width in cells.

    Returns:
      Soft regions, (h, w, len(names)) float32.

    Source: guided filter, He, Sun & Tang 2013, with the photo's luma as guide.
    """
    photo = np.asarray(photo)
    if photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ValueError(f"photo must have shape (height, width, 3), got {photo.shape}")
    if regions.weights is None:
        raise ValueError("regions must be soft, got hard ones; see `feather`")
    if radius != int(radius) or radius < 1 or not epsilon > 0:
        raise ValueError(
            f"radius must be a whole number of at least 1 and epsilon positive, got "
            f"{radius!r} and {epsilon!r}"
        )
    covers = regions.shape if covers is None else covers
    rows, columns = (
        _interpolation(source, side, covered)
        for source, side, covered in zip(
            regions.shape, photo.shape[:2], covers, strict=True
        )
    )
    guide = photo.astype(np.float32) @ _LUMA / 255

    def mean(values):
        return scipy.ndimage.uniform_filter(values, 2 * int(radius) + 1, mode="nearest")

    guide_mean = mean(guide)
    spread = np.maximum(mean(guide * guide) - guide_mean**2, 0) + epsilon
    weights = np.empty((*guide.shape, len(regions.names)), np.float32)
    for i in range(len(regions.names)):
        layer = (rows @ (columns @ regions.weights[..., i].T).T).astype(np.float32)
        layer_mean = mean(layer)
        slope = (mean(guide * layer) - guide_mean * layer_mean) / spread
        offset = layer_mean - slope * guide_mean
        weights[..., i] = mean(slope) * guide + mean(offset)
    weights = np.maximum(weights, 0)
    return Regions(regions.names, weights=weights / weights.sum(axis=2, keepdims=True))


def _checked_features(features, name: str) -> np.ndarray:
    features = np.asarray(features, np.float32)
    if features.ndim != 3 or not features.size:
        raise ValueError(
            f"{name} must have shape (height, width, channels), got {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"{name} has values that are not finite")
    return features


def _reduced(sides: list[np.ndarray]) -> np.ndarray:
    """(cells, components): features of length 1 in their directions of most variance.

    Their mean squared distance from their mean is 1.
    """
    points = np.concatenate([side.reshape(-1, side.shape[2]) for side in sides])
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    points = points / np.maximum(lengths, 1e-6)
    points -= points.mean(axis=0)
    _, directions = np.linalg.eigh(points.T @ points)
    points = points @ directions[:, -_COMPONENTS:]
    return points / max(float(np.sqrt((points**2).sum(axis=1).mean())), 1e-6)


def _places(height: int, width: int) -> np.ndarray:
    """(cells, 2): vertical and horizontal places, weighted."""
    rows, columns = (
        (2 * np.arange(side, dtype=np.float32) + 1) / side - 1
        for side in (height, width)
    )
    rows, columns = np.meshgrid(_VERTICAL * rows, _HORIZONTAL * columns, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1)


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(points, centres)."""
    products = points @ centres.T
    sums = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return np.maximum(sums - 2 * products, 0)


def _k_means(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Centres, (count, components)."""
    size = min(len(points), _SAMPLE)
    results = []
    for _ in range(_STARTS):
        sample = points[random.choice(len(points), size, replace=False)]
        centres = _lloyd(sample, _spread_out(sample, count, random), _SAMPLE_STEPS)
        error = float(_squared_distances(points, centres).min(axis=1).mean())
        results.append((error, centres))
    _, centres = min(results, key=lambda result: result[0])
    return _lloyd(points, centres, _STEPS)


def _spread_out(points, count: int, random: np.random.Generator) -> np.ndarray:
    """First centres: each a point drawn by its squared distance to those before."""
    chosen = [int(random.integers(len(points)))]
    nearest = _squared_distances(points, points[chosen])[:, 0].astype(np.float64)
    for _ in range(count - 1):
        total = nearest.sum()
        # Where all points are the same, any will do.
        shares = nearest / total if total > 0 else None
        chosen.append(int(random.choice(len(points), p=shares)))
        newest = _squared_distances(points, points[chosen[-1:]])[:, 0]
        nearest = np.minimum(nearest, newest)
    return points[chosen]


def _lloyd(points: np.ndarray, centres: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        labels = _squared_distances(points, centres).argmin(axis=1)
        members = np.eye(len(centres), dtype=np.float32)[labels]
        counts = members.sum(axis=0)[:, None]
        # A centre without points stays where it is.
        means = np.where(
            counts > 0, members.T @ points / np.maximum(counts, 1), centres
        )
        if np.allclose(means, centres, atol=1e-5):
            break
        centres = means
    return centres


def _interpolation(source: int, side: int, covered: float) -> scipy.sparse.csr_matrix:
    """(side, source): linear interpolation between the centres of cells."""
    places = (np.arange(side) + 0.5) * (covered / side) - 0.5
    places = np.clip(places, 0, source - 1)
    first = np.minimum(places.astype(np.int64), max(source - 2, 0))
    second = np.minimum(first + 1, source - 1)
    share = places - first
    rows = np.concatenate([np.arange(side)] * 2)
    entries = (
        np.concatenate([1 - share, share]),
        (rows, np.concatenate([first, second])),
    )
    return scipy.sparse.csr_matrix(entries, shape=(side, source))
