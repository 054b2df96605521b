"""How near a photo is to a style at five levels of VGG19, whole or region by region."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.metrics import (
    DISTANCES,
    Moments,
    moment_distance,
    require_photo,
)
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import NUM_BLOCKS, size_multiple
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights

LEVELS = tuple(range(1, NUM_BLOCKS + 1))
# The label of the whole photo where there are no regions.
WHOLE = 0
# Fewer cells of a feature grid tell nothing of a region (PhotoWCT: "> 10 px").
MIN_CELLS = 11

# {level: {label: moments}}, as `StyleMeter` takes them of a photo.
PhotoMoments = Mapping[int, Mapping[int, Moments]]


class StyleMeter:
    """Takes the moments of photos at all five levels; whole photos in one pass.

    Attributes:
      levels: 1 to 5; level X is blockX_conv2 of VGG19.
    """

    levels = LEVELS

    def __init__(self, weights: VGG19Weights):
        """Put the encoder and its weights, which must reach block 5, together."""
        self._encoder = VGG19Encoder(NUM_BLOCKS, weights.preprocessing)
        self._params = jax.tree.map(jnp.asarray, weights.params)
        self._jitted_encode = jax.jit(self._encode)

    def measure(
        self, photo: np.ndarray, labels: np.ndarray | None = None
    ) -> dict[int, dict[int, Moments]]:
        """Moments of a photo, or of each of its regions.

        The photo is padded by reflection to multiples of 16; cells of the feature grid
        that lie in the padding alone do not count. A cell belongs to the region of the
        pixel at its centre. 1000 × 1000 pixels take about 1 GiB.

        Args:
          photo: (h, w, 3) RGB in [0, 255].
          labels: (h, w) integers, equal ones on both sides belong together; None takes
            the whole photo as the region `WHOLE`.

        Returns:
          {level: {label: moments}}. Regions of fewer than `MIN_CELLS` cells at a level
          are left out of it; a whole photo never is.
        """
        photo = require_photo(photo, "photo").astype(np.float32)
        if labels is None:
            present, indices = np.array([WHOLE]), np.zeros(photo.shape[:2], np.int32)
        else:
            labels = _checked_labels(labels, photo.shape[:2])
            present, indices = np.unique(labels, return_inverse=True)
            indices = indices.reshape(labels.shape)
        found, regions = {}, np.arange(len(present))
        levels = self._jitted_encode(self._params, photo[None])
        for level, features in zip(LEVELS, levels, strict=True):
            taken = _region_moments(features, _at_level(indices, level), regions)
            cells, means, covariances = taken
            found[level] = {
                int(label): Moments(
                    int(n), np.asarray(m, np.float64), np.asarray(c, np.float64)
                )
                for label, n, m, c in zip(
                    present, cells, means, covariances, strict=True
                )
                if labels is None or n >= MIN_CELLS
            }
        return found

    def _encode(self, params, images):
        _, height, width, _ = images.shape
        padded = pad_to_multiple(images, size_multiple(NUM_BLOCKS))
        _, intermediates = self._encoder.apply({"params": params}, padded)
        return [
            intermediates[f"block{level}_conv2"][
                0, : _cells(height, level), : _cells(width, level)
            ]
            for level in LEVELS
        ]


# Apart from the encoder, which need not be compiled for each number of regions.
@jax.jit
def _region_moments(features, cells, regions):
    """Moments of (h, w, c) features in the cells of each region, one at a time."""
    features, cells = features.reshape(-1, features.shape[-1]), cells.reshape(-1)

    def moments(region):
        inside = (cells == region).astype(jnp.float32)[:, None]
        count = jnp.sum(cells == region)
        total = jnp.maximum(count, 1).astype(jnp.float32)
        mean = jnp.sum(features * inside, axis=0) / total
        # Once more over what the first sum has rounded off.
        mean += jnp.sum((features - mean) * inside, axis=0) / total
        centred = (features - mean) * inside
        product = jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST)
        return count, mean, product / total

    return jax.lax.map(moments, regions)


def style_distances(
    moments: PhotoMoments, style: PhotoMoments
) -> dict[int, dict[str, float]]:
    """Distances of a photo to a style at each level.

    With regions, the mean over the labels that both photos have at a level, weighted
    by their cells in `moments`.

    Args:
      moments: of content or result, from `StyleMeter.measure`.
      style: of the style, with or without regions as `moments`.

    Returns:
      {level: {kind: distance}} for each of `DISTANCES`.
    """
    found = {}
    for level, regions in moments.items():
        common = [label for label in regions if label in style[level]]
        if not common:
            raise ValueError(
                f"moments and style have no region of at least {MIN_CELLS} cells in "
                f"common at level {level}: {sorted(regions)} and {sorted(style[level])}"
            )
        areas = np.array([regions[label].cells for label in common], np.float64)
        found[level] = {
            kind: float(
                areas
                @ [moment_distance(regions[i], style[level][i], kind) for i in common]
                / areas.sum()
            )
            for kind in DISTANCES
        }
    return found


def style_reductions(
    content: Mapping[int, Mapping[str, float]],
    result: Mapping[int, Mapping[str, float]],
) -> dict[int, dict[str, float]]:
    """Style taken: 1 - d(result, style) / d(content, style).

    Args:
      content: distances of the content to the style, from `style_distances`.
      result: those of the result.

    Returns:
      {level: {kind: reduction}} in (-∞, 1]: 0 for the content itself, 1 for the
      moments of the style, negative for a result that is farther from the style than
      the content. NaN where the content is at distance 0 or infinity.
    """
    return {
        level: {
            kind: 1.0 - result[level][kind] / distance
            if 0 < distance < float("inf")
            else float("nan")
            for kind, distance in distances.items()
        }
        for level, distances in content.items()
    }


def _checked_labels(labels, shape):
    labels = np.asarray(labels)
    if labels.shape != shape or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be integers of the photo's shape {shape}, got {labels.dtype} "
            f"of {labels.shape}"
        )
    return labels


def _cells(side, level):
    """Cells of a feature grid that a side of so many pixels reaches into."""
    return -(-side // 2 ** (level - 1))


def _at_level(indices, level):
    """The region of each cell of the feature grid of a level: that of its centre."""
    stride = 2 ** (level - 1)
    for axis, side in enumerate(indices.shape):
        centres = np.arange(_cells(side, level)) * stride + stride // 2
        indices = indices.take(np.minimum(centres, side - 1), axis=axis)
    return indices.astype(np.int32)
