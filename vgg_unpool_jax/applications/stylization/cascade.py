"""Photorealistic style transfer with a cascade of pairs, coarse to fine.

Each level encodes what the level before has made of the photo, gives the features the
moments of the style's (`stylization.transforms`), and decodes them with the switches
that it has just found: structure stays where it was, because the decoder puts every
maximum back where the photo had it. Then the next finer level goes on.

Source: Li et al. 2018, arXiv 1802.06474 (PhotoWCT), whose order and switches these are,
and which does not clip between the levels either. Ours are the pairs, the scale-free
transforms, the reflected borders, and that moved features are cut at zero: they stand
for those behind a ReLU, and the decoders have seen no others.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.canvas import (
    RegionMap,
    cut_tiles,
    from_canvas,
    to_canvas,
)
from vgg_unpool_jax.applications.stylization.level import measure_level, move_level
from vgg_unpool_jax.applications.stylization.moments import Moments, merge_regions
from vgg_unpool_jax.applications.stylization.region_matching import (
    Matching,
    match_regions,
)
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.applications.stylization.transforms import (
    TRANSFORMS,
    AffineMap,
    check_shares,
    make_map,
    mix_maps,
)
from vgg_unpool_jax.errors import ConfigError, UserError
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256
from vgg_unpool_jax.systems.unpooling.pair import Pair

# Share of the mean variance; see `stylization.transforms`.
RIDGE = 1e-2

Styles = StyleStatistics | Sequence[tuple[StyleStatistics, float]]


class Stylizer:
    """Gives photos the look of others.

    Attributes:
      pairs: block -> its pair.
      levels: the blocks, coarse to fine.
      transform: what is done to the features.
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
        """Put pairs together.

        Args:
          pairs: of different blocks, with the same VGG19 weights.
          transform: one of `stylization.transforms.TRANSFORMS`.
          ridge: see `stylization.transforms`.
          keep_detail: give back what each level's decoder has lost of its input.
          tile: photos with a longer side are done in tiles of so many pixels, margins
            included; 0 does all whole.
        """
        self.pairs = {pair.block: pair for pair in pairs}
        self.levels = tuple(sorted(self.pairs, reverse=True))
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
        self._keep_detail = keep_detail
        self.encoders = self._check_encoders()
        self._transfer = {
            block: jax.jit(functools.partial(_transfer, pair.decoder, keep_detail))
            for block, pair in self.pairs.items()
        }
        try:
            cut_tiles(1 << 20, 64, self.levels[0], tile)
        except UserError as error:
            raise ConfigError(str(error)) from error

    def _check_encoders(self) -> dict[int, str]:
        """Block -> digest of VGG19 up to there; all pairs have the same."""
        deepest = self.pairs[self.levels[0]]
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
        """Find what `stylize` needs of a style.

        Args:
          photo: (h, w, 3) RGB in [0, 255], of any size.
          regions: of the photo's size; None is one region.
          progress: see `stylize`.
        """
        photo = _checked(photo)
        laid = RegionMap(*photo.shape[:2], regions)
        padded = to_canvas(photo[None])
        moments = {}
        for block in self.levels:
            tiles = self._tiles(padded, block, progress, "style")
            measured, _ = measure_level(
                self.pairs[block].encode, padded, laid, block, tiles("statistics")
            )
            moments[block] = Moments(*(array[0] for array in measured))
        return StyleStatistics(laid.names, moments, dict(self.encoders))

    def match(self, regions: Regions | None, style: StyleStatistics) -> Matching:
        """Which regions of the style those of a photo take their look from.

        Args:
          regions: of the photo, at its size.
          style: with regions of the same names, or of its own.

        Returns:
          What `stylize` will do, and sentences about it for the user. Too small is what
          has too few cells on the grid of the coarsest level that both have.
        """
        if regions is None:
            return Matching((-1,), ())
        common = [block for block in self.levels if block in style.moments]
        if not common:
            self._check_style(style, self.levels[:1])
        size = size_multiple(common[0])
        height, width = (-(-side // size) for side in regions.shape)
        return match_regions(regions.on_grid(height, width), style.only(common[0]))

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
          strengths: block -> factor on alpha at this level; 1 where it is not named.
            A level of strength 0 is left out, and with it what its decoder loses.
          adjust: called with each block and the moments of n photos, (n, r, ...), to
            replace these, such as by their mean over time.
          progress: wraps a list of tiles and is told `desc`, such as `tqdm`.

        Returns:
          float32 of the shape of the photos, not clipped.
        """
        photos = np.asarray(photos, np.float32)
        if photos.ndim == 3:
            return self.stylize(
                photos[None],
                style,
                regions,
                alpha=alpha,
                strengths=strengths,
                adjust=adjust,
                progress=progress,
            )[0]
        if photos.ndim != 4 or photos.shape[3] != 3 or not photos.size:
            raise ValueError(
                f"photos must have shape (height, width, 3) or (n, height, width, 3), "
                f"got {photos.shape}"
            )
        height, width = photos.shape[1:3]
        styles = [(style, 1.0)] if isinstance(style, StyleStatistics) else list(style)
        check_shares([share for _, share in styles], len(styles))
        factors = self._factors(alpha, strengths)
        given = strengths or {}
        levels = [block for block in self.levels if given.get(block, 1.0)]
        for one, _ in styles:
            self._check_style(one, levels)
        matchings = [self.match(regions, one) for one, _ in styles]
        laid = RegionMap(height, width, regions)
        padded = to_canvas(photos)
        for block in levels:
            tiles = self._tiles(padded, block, progress, f"block {block}")
            pair = self.pairs[block]
            measured, encoded = measure_level(
                pair.encode, padded, laid, block, tiles("statistics")
            )
            if adjust is not None:
                measured = adjust(block, measured)
            maps = mix_maps(
                [
                    self._maps(measured, one, matching, block, factors[block])
                    for (one, _), matching in zip(styles, matchings, strict=True)
                ],
                [share for _, share in styles],
            )
            padded = move_level(
                pair.encode,
                functools.partial(self._transfer[block], pair.decoder_variables),
                padded,
                laid,
                block,
                tiles("transfer"),
                maps,
                encoded,
            )
        return from_canvas(padded, height, width)

    def _factors(self, alpha, strengths) -> dict[int, float]:
        strengths = dict(strengths or {})
        unknown = sorted(set(strengths) - set(self.levels))
        if unknown:
            raise ConfigError(
                f"strengths name block {unknown[0]}, the levels are "
                f"{', '.join(map(str, self.levels))}"
            )
        return {block: alpha * strengths.get(block, 1.0) for block in self.levels}

    def _check_style(self, style, levels) -> None:
        for block in levels:
            if block not in style.moments:
                raise UserError(
                    f"the style has no statistics of block {block}, only of "
                    f"{', '.join(map(str, style.levels))}"
                )
            if style.encoders[block] != self.encoders[block]:
                raise UserError(
                    "the style's statistics were made with other VGG19 weights than "
                    "those of the pairs: make them anew"
                )

    def _tiles(self, padded, block, progress, name):
        tiles = cut_tiles(*padded.shape[1:3], block, self._tile)

        def shown(step):
            return progress(tiles, desc=f"{name}, {step}") if progress else tiles

        return shown

    def _maps(self, measured, style, matching, block, factor) -> AffineMap:
        """Maps (n, r, ...) of every region of every photo."""
        content, target = [], []
        for photo in range(len(measured.weight)):
            moments = Moments(*(array[photo] for array in measured))
            whole = merge_regions(moments) if -1 in matching.pairs else None
            for index, partner in enumerate(matching.pairs):
                alone = slice(index, index + 1), slice(partner, partner + 1)
                own, theirs = moments, style.moments[block]
                if partner < 0:
                    own, theirs = whole, style.whole[block]
                    alone = slice(0, 1), slice(0, 1)
                content.append(Moments(*(array[alone[0]] for array in own)))
                target.append(Moments(*(array[alone[1]] for array in theirs)))
        maps = _make_maps(
            Moments(*(np.concatenate(arrays) for arrays in zip(*content, strict=True))),
            Moments(*(np.concatenate(arrays) for arrays in zip(*target, strict=True))),
            factor,
            transform=self.transform,
            ridge=self._ridge,
        )
        shape = measured.weight.shape
        return AffineMap(*(array.reshape(*shape, *array.shape[1:]) for array in maps))


_make_maps = jax.jit(
    lambda content, style, alpha, *, transform, ridge: make_map(
        content, style, transform=transform, ridge=ridge, alpha=alpha
    ),
    static_argnames=("transform", "ridge"),
)


def _transfer(decoder, keep_detail, variables, images, features, moved, switches):
    outputs = decoder.apply(variables, jnp.maximum(moved, 0.0), switches)[0]
    if keep_detail:
        outputs += images - decoder.apply(variables, features, switches)[0]
    return outputs


def _checked(photo) -> np.ndarray:
    photo = np.asarray(photo, np.float32)
    if photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ValueError(f"photo must have shape (height, width, 3), got {photo.shape}")
    return photo
