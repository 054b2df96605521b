"""Photorealistic style transfer with a cascade of pairs, coarse to fine.

The pair of each block encodes the result of the block before, gives the features the
moments of the style's (`stylization.transforms`), and decodes them with the switches
of that encoding: structure stays where it was, because the decoder puts every maximum
back where the photo had it.

A photo larger than a tile is processed in tiles. The statistics have to be complete
before any feature is transformed, so each tile is encoded twice; the features of a
canvas that is a single tile are kept.

Source: Li et al. 2018, arXiv 1802.06474 (PhotoWCT), which uses the same order and
switches, and does not clip between the blocks either. The pairs, the scale-free
transforms and the reflected borders are ours. Transformed features are cut at zero:
decoders have only seen features behind a ReLU.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.canvas import (
    RegionMap,
    cut_tiles,
    from_canvas,
    to_canvas,
)
from vgg_unpool_jax.applications.stylization.transfer import (
    RIDGE,
    FeatureTransfer,
    Task,
    map_features,
    measure_features,
)
from vgg_unpool_jax.errors import ConfigError, require_list
from vgg_unpool_jax.ops.moments import Moments, merge_moments, to_float32
from vgg_unpool_jax.ops.photo_range import any_range
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256
from vgg_unpool_jax.systems.unpooling.pair import Pair


class Stylizer(FeatureTransfer):
    """Gives photos the look of others.

    Attributes:
      pairs: block -> its pair.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        transform: str = "wct",
        ridge: float = RIDGE,
        keep_detail: bool = False,
        tile: int = 1024,
    ):
        """Check that the pairs belong together.

        Args:
          pairs: of different blocks, with the same VGG19 weights.
          transform: one of `stylization.transforms.TRANSFORMS`.
          ridge: see `stylization.transforms`.
          keep_detail: add to each block's output what its decoder loses of its input.
          tile: photos with a longer side are processed in tiles of at most this many
            pixels per side, margins included; 0 processes all photos whole.
        """
        require_list("pairs", pairs)
        self.pairs = {pair.block: pair for pair in pairs}
        blocks = tuple(sorted(self.pairs, reverse=True))
        if not pairs or len(self.pairs) != len(pairs):
            given = [pair.block for pair in pairs]
            raise ConfigError(f"pairs must be of different blocks, got {given}")
        encoders = _check_encoders(self.pairs)
        super().__init__(blocks, encoders, transform=transform, ridge=ridge)
        self._tile, self._keep_detail = tile, keep_detail
        # Refuses a tile that is too small for the margins of the coarsest block.
        cut_tiles(1 << 20, 64, blocks[0], tile)

    @functools.cached_property
    def _decode(self):
        return {
            block: jax.jit(functools.partial(_decode, pair.decoder, self._keep_detail))
            for block, pair in self.pairs.items()
        }

    def measure_moments(
        self, photo: np.ndarray, region_map: RegionMap, progress: Callable | None
    ) -> dict[int, Moments]:
        """See `FeatureTransfer`."""
        canvas, moments = to_canvas(photo[None]), {}
        for block in self.blocks:
            tiles = self._tiles(canvas, block)
            shown = _shown(tiles, progress, "style, statistics")
            measured, _ = self._measure(canvas, region_map, block, shown)
            moments[block] = jax.tree.map(lambda array: array[0], measured)
        return moments

    def transfer(self, task: Task) -> np.ndarray:
        """See `FeatureTransfer`."""
        height, width = task.photos.shape[1:3]
        region_map = RegionMap(height, width, task.regions)
        canvas = to_canvas(task.photos)
        for block in task.blocks:
            tiles, name = self._tiles(canvas, block), f"block {block}"
            shown = _shown(tiles, task.progress, f"{name}, statistics")
            measured, encoded = self._measure(canvas, region_map, block, shown)
            maps = self.make_maps(task, block, measured)
            shown = _shown(tiles, task.progress, f"{name}, transfer")
            canvas = self._transfer(canvas, region_map, block, shown, maps, encoded)
        return from_canvas(canvas, height, width)

    def _tiles(self, canvas, block):
        return cut_tiles(*canvas.shape[1:3], block, self._tile)

    def _measure(self, canvas, region_map, block, tiles):
        """Moments (n, r, ...) of a block; features and switches of a single tile."""
        merged = encoded = None
        for tile in tiles:
            images = canvas[:, *tile.window]
            encoded = features, _ = _encode(self.pairs[block], images)
            measured = measure_features(features, region_map, tile, block)
            # At once: 200 regions of 512 channels are 210 MB per tile.
            merged = measured if merged is None else merge_moments(merged, measured)
        is_single = images.shape == canvas.shape
        return to_float32(merged), encoded if is_single else None

    def _transfer(self, canvas, region_map, block, tiles, maps, encoded):
        """New canvases (n, h, w, 3): features mapped and decoded."""
        pair, result = self.pairs[block], np.empty_like(canvas)
        for tile in tiles:
            images = canvas[:, *tile.window]
            features, switches = _encode(pair, images) if encoded is None else encoded
            mapped = map_features(features, region_map, tile, block, maps)
            decoded = self._decode[block](
                pair.decoder_variables, images, features, mapped, switches
            )
            kept = np.asarray(decoded)[:, tile.rows.inner, tile.columns.inner]
            result[:, tile.rows.outer, tile.columns.outer] = kept
        return result


def _check_encoders(pairs) -> dict[int, str]:
    """Block -> digest of VGG19 up to there; all pairs have the same."""
    deepest = pairs[max(pairs)]
    digests = {}
    for block, pair in pairs.items():
        digests[block] = arrays_sha256(pair.encoder_params, block)
        same = arrays_sha256(deepest.encoder_params, block)
        preprocessing = pair.record["preprocessing"]
        if digests[block] != same or preprocessing != deepest.record["preprocessing"]:
            raise ConfigError(
                f"the pairs of blocks {block} and {deepest.block} were trained "
                f"with different VGG19 weights: {pair.record['origin']} and "
                f"{deepest.record['origin']}"
            )
    return digests


def _encode(pair, images):
    # Results of coarser blocks overshoot, and a tile may be dark.
    with any_range():
        return pair.encode(images)


def _shown(tiles, progress, name):
    return progress(tiles, desc=name) if progress else tiles


def _decode(decoder, keep_detail, variables, images, features, mapped, switches):
    outputs = decoder.apply(variables, jnp.maximum(mapped, 0.0), switches)[0]
    if keep_detail:
        outputs += images - decoder.apply(variables, features, switches)[0]
    return outputs
