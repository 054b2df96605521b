"""One level of the cascade, tile by tile: measure features, move and decode them.

The statistics have to be complete before anything is moved, so each tile is encoded
twice; a canvas that is one tile keeps what it has encoded.
"""

from collections.abc import Callable, Iterable

import jax
import numpy as np

from vgg_unpool_jax.applications.stylization.canvas import (
    RegionMap,
    Tile,
    groups_of_regions,
)
from vgg_unpool_jax.applications.stylization.moments import (
    Moments,
    measure_moments,
    merge_all,
    merge_moments,
)
from vgg_unpool_jax.applications.stylization.transforms import AffineMap, apply_map
from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK

# What `encode` gives: features and switches.
Encoded = tuple[jax.Array, tuple[jax.Array, ...]]


def measure_level(
    encode: Callable[[np.ndarray], Encoded],
    padded: np.ndarray,
    regions: RegionMap,
    block: int,
    tiles: Iterable[Tile],
) -> tuple[Moments, Encoded | None]:
    """Moments of all photos in each region.

    Args:
      encode: images (n, h, w, 3) to features and switches.
      padded: (n, h, w, 3), canvases.
      regions: of the canvases, the same for all.
      block: level of the features.
      tiles: of the canvases.

    Returns:
      moments: (n, r, ...) float32; zeros for regions that are nowhere.
      encoded: what there is to decode, if the canvas is one tile.
    """
    count, channels = len(regions.names), CHANNELS_PER_BLOCK[block - 1]
    shapes = (count,), (count, channels), (count, channels, channels)
    merged = encoded = None
    for tile in tiles:
        images = padded[:, *tile.window]
        features, switches = encode(images)
        encoded = (features, switches) if images.shape == padded.shape else None
        found = Moments(
            *(np.zeros((len(padded), *shape), np.float32) for shape in shapes)
        )
        for group in groups_of_regions(regions.present(tile)):
            weights = regions.weights(tile, block, group, once=True)
            known = group >= 0
            measured = _measure_photos(features, weights)
            for array, values in zip(found, measured, strict=True):
                array[:, group[known]] = np.asarray(values)[:, known]
        # Merging is done region by region, whatever photo one belongs to.
        found = Moments(*(a.reshape(-1, *a.shape[2:]) for a in found))
        # At once: 200 regions of 512 channels are 210 MB a tile.
        merged = found if merged is None else merge_moments(merged, found)
    merged = merge_all([merged])
    shaped = (a.reshape(len(padded), count, *a.shape[1:]) for a in merged)
    return Moments(*shaped), encoded


def move_level(
    encode: Callable[[np.ndarray], Encoded],
    decode: Callable[..., jax.Array],
    padded: np.ndarray,
    regions: RegionMap,
    block: int,
    tiles: Iterable[Tile],
    maps: AffineMap,
    encoded: Encoded | None = None,
) -> np.ndarray:
    """Move the features of all photos and decode them.

    Args:
      encode: as in `measure_level`.
      decode: images, their features, the moved features and the switches to images.
      padded: (n, h, w, 3), canvases.
      regions: of the canvases.
      block: level of the features.
      tiles: of the canvases.
      maps: (n, r, ...).
      encoded: what `measure_level` has kept.

    Returns:
      (n, h, w, 3) float32, new canvases.
    """
    result = np.empty_like(padded)
    for tile in tiles:
        images = padded[:, *tile.window]
        features, switches = encode(images) if encoded is None else encoded
        moved = features
        for group in groups_of_regions(regions.present(tile)):
            weights = regions.weights(tile, block, group)
            part = AffineMap(*(array[:, np.maximum(group, 0)] for array in maps))
            moved = _apply_to_photos(features, weights, part, moved)
        outputs = np.asarray(decode(images, features, moved, switches))
        kept = outputs[:, tile.rows.inner, tile.columns.inner]
        result[:, tile.rows.outer, tile.columns.outer] = kept
    return result


_measure_photos = jax.jit(jax.vmap(measure_moments, in_axes=(0, None)))
_apply_to_photos = jax.jit(jax.vmap(apply_map, in_axes=(0, None, 0, 0)))
