"""Regions of two photos without masks: clusters of their VGG19 features.

The cells of both photos are clustered together, so that a region means the same on both
sides: features scaled to length 1, as their length is contrast rather than content, and
beside them the position in the photo, as skies are above and grounds below.

This finds large areas such as sky, rock, trees and floor. It does not know objects: a
glass before a busy background is not found, and walls may be merged with ceilings.
Where that matters, paint masks. Of the layers and numbers tried, block5_conv2 and 3
regions agreed best with the painted masks of five pairs of photos.
"""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
from PIL import Image

from vgg_unpool_jax.applications.resizing import resize
from vgg_unpool_jax.applications.stylization.difference_smoothing import smooth_along
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.errors import ConfigError, require_image

# Number of directions of largest variance that the features are projected to.
_COMPONENTS = 40
# Distance between top and bottom where features have a mean squared distance of 1 from
# their mean; left and right matter less.
_VERTICAL, _HORIZONTAL = 0.6, 0.18
_STARTS = 4
# In units of the mean squared distance to the own centre: a cell whose squared
# distances to two centres differ by this much is shared e to 1.
_SOFTNESS = 0.2
# Cosines of the mean features of a region's sides that are not and fully alike.
_ALIKE = 0.45, 0.65

# Pixels per side of a cell on the grid on which colours are compared.
_CELL = 8
_ROUNDS = 3
# Deviations in cells: of the blur of the grid's shares, and of what is around a pixel.
_PRIOR, _AROUND = 0.75, 1.5
# Weight of the colour beside the grid.
_TRUST = 0.5
# Variance of colours that is noise, in squared grey levels.
_NOISE = 100.0
_LEAST = 1e-4
# Of the smoothing: as a share of the longer side, and in grey levels.
_RADIUS, _SIGMA = 0.01, 8.0


def unit_features(features: np.ndarray) -> np.ndarray:
    """Features (..., c) scaled to length 1: their own is contrast, not content."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return features / np.maximum(lengths, 1e-6)


def automatic_regions(
    content_features, style_features, *, count: int = 3, seed: int = 0
) -> tuple[Regions, Regions]:
    """Find regions that two photos have in common.

    Args:
      content_features: (h, w, c) of VGG19, best of block5_conv2, of the whole photo.
      style_features: (h, w, c) of the same layer, of any size.
      count: number of regions, at least 2.
      seed: random seed; the same seed gives the same regions.

    Returns:
      Soft regions of the content and the style on their grids, of the same names, "0"
      to "{count - 1}" from the top to the bottom. A region may be small or absent on
      one side; `match_regions` reports that.
    """
    sides = [
        np.asarray(side, np.float32) for side in (content_features, style_features)
    ]
    for name, side in zip(("content_features", "style_features"), sides, strict=True):
        require_image(name, side, 3, None)
    grids = [side.shape[:2] for side in sides]
    cells = min(height * width for height, width in grids)
    if not 2 <= count <= cells:
        raise ConfigError(
            f"the number of regions must be from 2 to {cells}, the cells of the "
            f"smaller photo, got {count!r}"
        )
    # Imported here, since it loads for one to two seconds and few photos need it.
    from sklearn.cluster import KMeans

    positions = np.concatenate([_positions(*grid) for grid in grids])
    points = np.concatenate([_reduced(sides), positions], axis=1)
    clusters = KMeans(count, n_init=_STARTS, random_state=seed).fit(points)
    # From the top to the bottom.
    order = np.argsort(clusters.cluster_centers_[:, -2], kind="stable")
    distances = np.square(clusters.transform(points)[:, order])
    nearest = distances.min(axis=1, keepdims=True)
    coverage = np.exp((nearest - distances) / max(_SOFTNESS * nearest.mean(), 1e-12))
    coverage /= coverage.sum(axis=1, keepdims=True)
    names = [str(i) for i in range(count)]
    parts = np.split(coverage, [grids[0][0] * grids[0][1]])
    return tuple(
        Regions(names, coverage=part.reshape(*grid, count))
        for part, grid in zip(parts, grids, strict=True)
    )


def region_likeness(
    features: Sequence[np.ndarray], regions: Sequence[Regions]
) -> np.ndarray:
    """How much regions of one name have in common on both sides.

    Of the cosine between the mean features of both sides, linear from 0 at 0.45 to 1 at
    0.65.

    Args:
      features: (h, w, c) of content and style, as for `automatic_regions`.
      regions: of content and style, on their grids.

    Returns:
      (regions,) in [0, 1]; 0 for a region that one side lacks.
    """
    means = []
    for side, own in zip(features, regions, strict=True):
        points = unit_features(np.asarray(side, np.float32).reshape(-1, side.shape[-1]))
        mean = own.coverage.reshape(len(points), -1).T @ points
        means.append(unit_features(mean))
    low, high = _ALIKE
    cosines = (means[0] * means[1]).sum(axis=1)
    areas = np.min([own.areas() for own in regions], axis=0)
    return np.clip((cosines - low) / (high - low), 0.0, 1.0) * (areas > 1)


def refine_regions(
    regions: Regions, photo, *, covers: tuple[float, float] | None = None
) -> Regions:
    """Bring soft regions of a feature grid to their photo's size and edges.

    Cells see beyond their borders, so regions of the grid overlap what is beside them
    by about a cell. Each pixel is given to the regions by its colour under a normal
    distribution of the colours of each region around it, times the share that the grid
    gives each region there, in rounds; then the shares are smoothed along the photo's
    edges. Where regions have the same colours the grid decides.

    Args:
      regions: soft, on a coarse grid.
      photo: (h, w, 3) RGB in [0, 255].
      covers: height and width of the photo in cells, where the grid ends beyond the
        photo.

    Returns:
      Soft regions, (h, w, len(names)) float32.
    """
    height, width = covers or regions.shape
    size = np.shape(photo)[:2]
    small = round(_CELL * height), round(_CELL * width)
    grid = resize(
        regions.coverage, small, (0, 0, width, height), Image.Resampling.BILINEAR
    )
    colors = resize(np.asarray(photo, np.float32), small, method=Image.Resampling.BOX)
    prior = np.log(_blur(grid, _PRIOR) + _LEAST)
    shares = grid
    for _ in range(_ROUNDS):
        evidence = [_log_density(colors, share) for share in np.moveaxis(shares, 2, 0)]
        scores = prior + _TRUST * np.stack(evidence, axis=2)
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
    fine = resize(shares, size, method=Image.Resampling.BILINEAR)
    fine = smooth_along(photo, fine, radius=_RADIUS * max(size), sigma=_SIGMA)
    coverage = np.maximum(fine, 0)
    return Regions(
        regions.names, coverage=coverage / coverage.sum(axis=2, keepdims=True)
    )


def _log_density(colors: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(h, w), of each colour among those of a region around it, but for a constant."""
    share = share[..., None]
    weight = np.maximum(_blur(share, _AROUND), _LEAST)
    mean = _blur(share * colors, _AROUND) / weight
    square = _blur(share * np.square(colors), _AROUND) / weight
    variance = np.maximum(square - np.square(mean), 0.0).mean(axis=2) + _NOISE
    distance = np.square(colors - mean).sum(axis=2)
    return -0.5 * distance / variance - 1.5 * np.log(variance)


def _blur(values: np.ndarray, cells: float) -> np.ndarray:
    sigma = cells * _CELL
    return scipy.ndimage.gaussian_filter(values, (sigma, sigma, 0), mode="nearest")


def _reduced(sides: list[np.ndarray]) -> np.ndarray:
    """(cells, components): features of length 1 in their directions of most variance.

    Their mean squared distance from their mean is 1.
    """
    points = unit_features(
        np.concatenate([side.reshape(-1, side.shape[2]) for side in sides])
    )
    points -= points.mean(axis=0)
    _, directions = np.linalg.eigh(points.T @ points)
    points = points @ directions[:, -_COMPONENTS:]
    return points / max(float(np.sqrt((points**2).sum(axis=1).mean())), 1e-6)


def _positions(height: int, width: int) -> np.ndarray:
    """(cells, 2): vertical and horizontal positions, scaled."""
    rows, columns = (
        (2 * np.arange(side, dtype=np.float32) + 1) / side - 1
        for side in (height, width)
    )
    rows, columns = np.meshgrid(_VERTICAL * rows, _HORIZONTAL * columns, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1)
