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
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.canvas import (
    RegionMap,
    cut_tiles,
    from_canvas,
    groups_of_regions,
    to_canvas,
)
from vgg_unpool_jax.applications.stylization.regions import (
    Matching,
    Regions,
    match_regions,
)
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.applications.stylization.transforms import (
    TRANSFORMS,
    AffineMap,
    apply_map,
    check_shares,
    make_map,
    mix_maps,
)
from vgg_unpool_jax.errors import ConfigError, UserError, require_image, require_list
from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK, size_multiple
from vgg_unpool_jax.ops.moments import (
    Moments,
    measure_sets,
    merge_moments,
    merge_sets,
    to_float32,
)
from vgg_unpool_jax.ops.photo_range import any_range, check_photo_range
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.unpooling.pair import Pair

# Share of the mean variance; see `stylization.transforms`.
RIDGE = 1e-2

Styles = StyleStatistics | Sequence[tuple[StyleStatistics, float]]


class Stylizer(Recompiled):
    """Gives photos the look of others.

    Attributes:
      pairs: block -> its pair.
      blocks: coarse to fine.
      transform: the feature transform, one of `stylization.transforms.TRANSFORMS`.
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
        self.blocks = tuple(sorted(self.pairs, reverse=True))
        if not pairs or len(self.pairs) != len(pairs):
            blocks = [pair.block for pair in pairs]
            raise ConfigError(f"pairs must be of different blocks, got {blocks}")
        if transform not in TRANSFORMS:
            raise ConfigError(
                f"transform must be one of {', '.join(TRANSFORMS)}, got {transform!r}"
            )
        if not ridge > 0.0:
            raise ConfigError(f"ridge must be positive, got {ridge}")
        self.transform, self._ridge, self._tile = transform, ridge, tile
        self.encoders = self._check_encoders()
        self._keep_detail = keep_detail
        # Refuses a tile that is too small for the margins of the coarsest block.
        cut_tiles(1 << 20, 64, self.blocks[0], tile)

    @functools.cached_property
    def _decode(self):
        return {
            block: jax.jit(functools.partial(_decode, pair.decoder, self._keep_detail))
            for block, pair in self.pairs.items()
        }

    def _check_encoders(self) -> dict[int, str]:
        """Block -> digest of VGG19 up to there; all pairs have the same."""
        deepest = self.pairs[self.blocks[0]]
        digests = {}
        for block, pair in self.pairs.items():
            digests[block] = arrays_sha256(pair.encoder_params, block)
            same = arrays_sha256(deepest.encoder_params, block)
            preprocessing = pair.record["preprocessing"]
            if digests[block] != same or (
                preprocessing != deepest.record["preprocessing"]
            ):
                raise ConfigError(
                    f"the pairs of blocks {block} and {deepest.block} were trained "
                    f"with different VGG19 weights: {pair.record['origin']} and "
                    f"{deepest.record['origin']}"
                )
        return digests

    def measure_style(
        self, photo, regions: Regions | None = None, *, progress: Callable | None = None
    ) -> StyleStatistics:
        """Compute the statistics that `stylize` needs of a style.

        Args:
          photo: (h, w, 3) RGB in [0, 255], of any size.
          regions: of the photo's size; None is one region.
          progress: see `stylize`.
        """
        check_photo_range("photo", photo)
        photo = np.asarray(photo, np.float32)
        require_image("photo", photo, 3)
        region_map = RegionMap(*photo.shape[:2], regions)
        canvas = to_canvas(photo[None])
        moments = {}
        for block in self.blocks:
            tiles = self._tiles(canvas, block)
            shown = _shown(tiles, progress, "style, statistics")
            measured, _ = self._measure(canvas, region_map, block, shown)
            moments[block] = jax.tree.map(lambda array: array[0], measured)
        return StyleStatistics(region_map.names, moments, dict(self.encoders))

    def match(self, regions: Regions | None, style: StyleStatistics) -> Matching:
        """Find the style region that each region of a photo takes its look from.

        Args:
          regions: of the photo, at its size.
          style: with regions of the same names, or of its own.

        Returns:
          The pairs that `stylize` will use, and sentences about them for the user.
          Areas are compared in cells of the coarsest block that both have.
        """
        if regions is None:
            return Matching((-1,), ())
        common = [block for block in self.blocks if block in style.moments]
        if not common:
            self._check_style(style, self.blocks[:1])
        size = size_multiple(common[0])
        height, width = (-(-side // size) for side in regions.shape)
        return match_regions(
            regions.on_grid(height, width), style.names, style.areas(common[0])
        )

    def stylize(
        self,
        photos,
        style: Styles,
        regions: Regions | None = None,
        *,
        alpha: float = 1.0,
        strengths: Mapping[int, float] | None = None,
        adjust: Callable[[int, Moments], Moments] | None = None,
        progress: Callable | None = None,
    ) -> np.ndarray:
        """Give photos the look of a style.

        Args:
          photos: (h, w, 3) or (n, h, w, 3) RGB in [0, 255], of any size.
          style: as from `measure_style`, or several with their shares.
          regions: of the photos' size, the same for all; each takes the style of the
            region of the same name (see `match`). None is one region, which takes that
            of the whole style.
          alpha: 0 is the reconstruction of the photos, 1 the whole style.
          strengths: block -> factor on alpha for this block; 1 where it is not named.
            A block of strength 0 is left out, and with it the loss of its decoder.
          adjust: called with each block and the moments of n photos, (n, r, ...), to
            replace these, for instance by their mean over time.
          progress: wraps a list of tiles and takes `desc`, as `tqdm` does.

        Returns:
          float32 of the shape of the photos, not clipped.
        """
        check_photo_range("photos", photos)
        photos = np.asarray(photos, np.float32)
        single = photos.ndim == 3
        photos = photos[None] if single else photos
        require_image("photos", photos, 4)
        height, width = photos.shape[1:3]
        styles = [(style, 1.0)] if isinstance(style, StyleStatistics) else list(style)
        check_shares([share for _, share in styles], len(styles))
        strengths = dict(strengths or {})
        if not 0 <= alpha < math.inf or not all(map(math.isfinite, strengths.values())):
            raise ConfigError(
                f"alpha must be from 0 on and all strengths finite, got {alpha} and "
                f"{strengths}"
            )
        unknown = sorted(set(strengths) - set(self.blocks))
        if unknown:
            raise ConfigError(
                f"strengths name block {unknown[0]}, the blocks are "
                f"{', '.join(map(str, self.blocks))}"
            )
        blocks = [block for block in self.blocks if strengths.get(block, 1.0)]
        for one, _ in styles:
            self._check_style(one, blocks)
        matchings = [self.match(regions, one) for one, _ in styles]
        region_map = RegionMap(height, width, regions)
        canvas = to_canvas(photos)
        for block in blocks:
            tiles, name = self._tiles(canvas, block), f"block {block}"
            shown = _shown(tiles, progress, f"{name}, statistics")
            measured, encoded = self._measure(canvas, region_map, block, shown)
            if adjust is not None:
                measured = adjust(block, measured)
            factor = alpha * strengths.get(block, 1.0)
            maps = mix_maps(
                [
                    self._maps(measured, one, matching, block, factor)
                    for (one, _), matching in zip(styles, matchings, strict=True)
                ],
                [share for _, share in styles],
            )
            shown = _shown(tiles, progress, f"{name}, transfer")
            canvas = self._transfer(canvas, region_map, block, shown, maps, encoded)
        result = from_canvas(canvas, height, width)
        return result[0] if single else result

    def _check_style(self, style, blocks) -> None:
        for block in blocks:
            if block not in style.moments:
                raise UserError(
                    f"the style has no statistics of block {block}, only of "
                    f"{', '.join(map(str, style.blocks))}"
                )
            if style.encoders[block] != self.encoders[block]:
                raise UserError(
                    "the style's statistics were made with other VGG19 weights than "
                    "those of the pairs: make them again"
                )

    def _tiles(self, canvas, block):
        return cut_tiles(*canvas.shape[1:3], block, self._tile)

    def _measure(self, canvas, region_map, block, tiles):
        """Moments (n, r, ...) of a block; features and switches of a single tile.

        Regions that the canvas does not have get zeros.
        """
        channels = CHANNELS_PER_BLOCK[block - 1]
        leading = len(canvas), len(region_map.names)
        shapes = leading, (*leading, channels), (*leading, channels, channels)
        merged = encoded = None
        for tile in tiles:
            images = canvas[:, *tile.window]
            encoded = features, _ = _encode(self.pairs[block], images)
            found = Moments(*(np.zeros(shape, np.float32) for shape in shapes))
            for group in groups_of_regions(region_map.present(tile)):
                coverage = region_map.coverage(tile, block, group, once=True)
                known = group >= 0
                measured = _measure_photos(features, coverage)
                for array, values in zip(found, measured, strict=True):
                    array[:, group[known]] = np.asarray(values)[:, known]
            # At once: 200 regions of 512 channels are 210 MB per tile.
            merged = found if merged is None else merge_moments(merged, found)
        is_single = images.shape == canvas.shape
        return to_float32(merged), encoded if is_single else None

    def _maps(self, measured, style, matching, block, factor) -> AffineMap:
        """Maps (n, r, ...) of every region of every photo."""
        content, target = [], []
        for photo in range(len(measured.count)):
            moments = jax.tree.map(lambda array, i=photo: array[i], measured)
            whole = merge_sets(moments) if -1 in matching.pairs else None
            for index, partner in enumerate(matching.pairs):
                if partner < 0:
                    content.append(whole)
                    target.append(style.whole[block])
                else:
                    content.append(_only(moments, index))
                    target.append(_only(style.moments[block], partner))
        maps = _make_maps(
            *(
                jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
                for parts in (content, target)
            ),
            factor,
            transform=self.transform,
            ridge=self._ridge,
        )
        shape = measured.count.shape
        return jax.tree.map(lambda array: array.reshape(*shape, *array.shape[1:]), maps)

    def _transfer(self, canvas, region_map, block, tiles, maps, encoded):
        """New canvases (n, h, w, 3): features mapped and decoded."""
        pair, result = self.pairs[block], np.empty_like(canvas)
        for tile in tiles:
            images = canvas[:, *tile.window]
            features, switches = _encode(pair, images) if encoded is None else encoded
            mapped = features
            for group in groups_of_regions(region_map.present(tile)):
                coverage = region_map.coverage(tile, block, group)
                part = AffineMap(*(array[:, np.maximum(group, 0)] for array in maps))
                mapped = _map_photos(features, coverage, part, mapped)
            decoded = self._decode[block](
                pair.decoder_variables, images, features, mapped, switches
            )
            kept = np.asarray(decoded)[:, tile.rows.inner, tile.columns.inner]
            result[:, tile.rows.outer, tile.columns.outer] = kept
        return result


def _encode(pair, images):
    # Results of coarser blocks overshoot, and a tile may be dark.
    with any_range():
        return pair.encode(images)


def _shown(tiles, progress, name):
    return progress(tiles, desc=name) if progress else tiles


def _only(moments, index) -> Moments:
    return jax.tree.map(lambda array: array[index : index + 1], moments)


def _measure_photo(features, coverage):
    return measure_sets(
        features.reshape(-1, features.shape[-1]), coverage.reshape(len(coverage), -1)
    )


_measure_photos = jax.jit(jax.vmap(_measure_photo, in_axes=(0, None)))
_map_photos = jax.jit(jax.vmap(apply_map, in_axes=(0, None, 0, 0)))
_make_maps = jax.jit(
    lambda content, style, alpha, *, transform, ridge: make_map(
        content, style, transform=transform, ridge=ridge, alpha=alpha
    ),
    static_argnames=("transform", "ridge"),
)


def _decode(decoder, keep_detail, variables, images, features, mapped, switches):
    outputs = decoder.apply(variables, jnp.maximum(mapped, 0.0), switches)[0]
    if keep_detail:
        outputs += images - decoder.apply(variables, features, switches)[0]
    return outputs
