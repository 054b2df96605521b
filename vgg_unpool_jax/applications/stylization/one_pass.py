"""Photorealistic style transfer in one pass through a staged decoder.

The photo is encoded once to block4_conv2. The decoder's stages (`systems/staged`) give
relu3_2, relu2_2 and relu1_2 in turn; at these and at the deepest features an affine map
gives the decoder's own features the moments of the style's. What the stages get wrong
of the photo itself is added to their outputs, so unmoved features give the photo back.

Content moments are those of the photo reduced to `side`, in which all maps are made;
larger photos are then processed in tiles with the same maps, so there are no seams.
Moved features are cut at zero: decoders have only seen features behind a ReLU.
"""

import functools
import math
import os
from collections.abc import Callable

import jax
import numpy as np

from vgg_unpool_jax.applications.resizing import reduce_to_side, reduced_size
from vgg_unpool_jax.applications.stylization.canvas import (
    RegionMap,
    Tile,
    cut_tiles,
    from_canvas,
    to_canvas,
)
from vgg_unpool_jax.applications.stylization.options import LEVELS
from vgg_unpool_jax.applications.stylization.regions import Matching, Regions
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.applications.stylization.transfer import (
    RIDGE,
    FeatureTransfer,
    Task,
    map_features,
    measure_features,
)
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.ops.moments import Moments
from vgg_unpool_jax.ops.photo_range import any_range
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256
from vgg_unpool_jax.systems.staged.decoder import (
    BLOCK,
    MOVED,
    STAGES,
    exact_stage,
    unpool,
)
from vgg_unpool_jax.systems.staged.trained import (
    TrainedStagedDecoder,
    load_staged_decoder,
)

# Cells of a photo, about, that moments are measured of: 7,000 of block 4 say as much as
# the 400,000 of block 1 that they stand for.
_CELLS = 16384


class OnePassStylizer(FeatureTransfer):
    """Gives photos the look of others.

    Attributes:
      model: encoder and staged decoder.
      side: longer side in pixels at which moments are measured.
    """

    def __init__(
        self,
        model: TrainedStagedDecoder,
        *,
        transform: str = "ot",
        ridge: float = RIDGE,
        side: int = 1024,
        tile: int = 1024,
        undo_pool: Callable = unpool,
    ):
        """Keep the options.

        Args:
          model: encoder and staged decoder.
          transform: one of `stylization.transforms.TRANSFORMS`.
          ridge: see `stylization.transforms`.
          side: moments are those of photos reduced to this longer side, in pixels.
          tile: photos with a longer side are processed in tiles of at most this many
            pixels per side, margins included; 0 processes all photos whole.
          undo_pool: see `exact_stage`.
        """
        blocks = LEVELS
        digests = {b: arrays_sha256(model.encoder_params, b) for b in blocks}
        super().__init__(blocks, digests, transform=transform, ridge=ridge)
        if side < 64:
            raise ConfigError(f"side must be at least 64 pixels, got {side}")
        self.model, self.side, self._tile = model, side, tile
        self._undo_pool = undo_pool
        cut_tiles(1 << 20, 64, BLOCK, tile)  # refuses one smaller than the margins

    @functools.cached_property
    def _stages(self):
        return [
            jax.jit(
                lambda variables, changed, encoding, number=number: exact_stage(
                    self.model.decoder,
                    variables,
                    number,
                    changed,
                    encoding,
                    self._undo_pool,
                )
            )
            for number in range(len(STAGES))
        ]

    def match(self, regions: Regions | None, style: StyleStatistics) -> Matching:
        """See `FeatureTransfer`; areas are those of photos reduced to `side`."""
        if regions is not None:
            regions = regions.on_grid(*reduced_size(regions.shape, self.side))
        return super().match(regions, style)

    def measure_moments(
        self, photo: np.ndarray, region_map: RegionMap, progress: Callable | None
    ) -> dict[int, Moments]:
        """See `FeatureTransfer`; of the photo reduced to `side`."""
        del progress  # it takes less than the reading of the photo's file
        reduced = reduce_to_side(photo, self.side)
        region_map = _resized(region_map, photo, reduced)
        canvas = to_canvas(reduced[None])
        tile, encoding = _whole(canvas), self._encode(canvas)
        moments = {}
        for number, block in MOVED.items():
            features = encoding.inputs[number]
            step = _step(features)
            measured = measure_features(features, region_map, tile, block, step=step)
            moments[block] = jax.tree.map(lambda array: array[0], measured)
        return moments

    def transfer(self, task: Task) -> np.ndarray:
        """See `FeatureTransfer`."""
        photos = task.photos
        height, width = photos.shape[1:3]
        reduced = np.stack([reduce_to_side(photo, self.side) for photo in photos])
        region_map = RegionMap(height, width, task.regions)
        small_map = _resized(region_map, photos[0], reduced[0])
        maps = {}

        def find_maps(block, features, tile):
            step = _step(features)
            measured = measure_features(features, small_map, tile, block, step=step)
            maps[block] = self.make_maps(task, block, measured)
            return maps[block]

        small = to_canvas(reduced)
        tile = _whole(small)
        result = self._pass(small, small_map, tile, task, find_maps, task.progress)
        if reduced.shape == photos.shape:
            return from_canvas(result, height, width)
        canvas = to_canvas(photos)
        result = np.empty_like(canvas)
        tiles = cut_tiles(*canvas.shape[1:3], BLOCK, self._tile)
        shown = task.progress(tiles, desc="transfer") if task.progress else tiles
        for tile in shown:
            images = canvas[:, *tile.window]
            made = self._pass(
                images, region_map, tile, task, lambda block, *_: maps[block]
            )
            kept = made[:, tile.rows.inner, tile.columns.inner]
            result[:, tile.rows.outer, tile.columns.outer] = kept
        return from_canvas(result, height, width)

    def _encode(self, images):
        with any_range():  # a tile may be dark
            return self.model.encode(images)

    def _pass(
        self, images, region_map, tile, task, find_maps, progress=None
    ) -> np.ndarray:
        encoding = self._encode(images)
        features, stages = encoding.inputs[0], list(enumerate(self._stages))
        for number, stage in progress(stages, desc="stages") if progress else stages:
            block = MOVED.get(number)
            if block in task.blocks:
                maps = find_maps(block, features, tile)
                features = map_features(features, region_map, tile, block, maps)
                features = jax.numpy.maximum(features, 0.0)
            features = stage(self.model.variables, features, encoding)
        return np.asarray(features)


def _step(features) -> int:
    """Between the rows and columns that moments are measured of."""
    return max(1, math.ceil(math.sqrt(np.prod(features.shape[1:3]) / _CELLS)))


def _whole(canvas) -> Tile:
    return cut_tiles(*canvas.shape[1:3], BLOCK, 0)[0]


def _resized(region_map: RegionMap, photo, reduced) -> RegionMap:
    if photo.shape == reduced.shape:
        return region_map
    size = reduced.shape[:2]
    return RegionMap(*size, region_map.regions.on_grid(*size))


def load_one_pass(
    model: str | os.PathLike = "vgg19-style",
    vgg19: str | os.PathLike | None = None,
    **options,
) -> OnePassStylizer:
    """Load a one-pass stylizer.

    Args:
      model: workdir or release of a staged decoder.
      vgg19: the VGG19 weight file; see `load_pair`.
      **options: of `OnePassStylizer`.
    """
    return OnePassStylizer(load_staged_decoder(model, vgg19), **options)
