"""What all ways to move features share: statistics of styles, regions, affine maps.

A way to move features encodes photos, gives the features of several blocks the moments
of the style's (`stylization.transforms`), and decodes them. `stylization.cascade` and
`stylization.one_pass` differ in what they decode with and in what order.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
import threadpoolctl

from vgg_unpool_jax.applications.stylization.canvas import (
    RegionMap,
    groups_of_regions,
)
from vgg_unpool_jax.applications.stylization.color_transport import sample_colors
from vgg_unpool_jax.applications.stylization.options import TRANSFORMS
from vgg_unpool_jax.applications.stylization.regions import (
    Matching,
    Regions,
    match_regions,
)
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.applications.stylization.transforms import (
    AffineMap,
    apply_map,
    check_shares,
    make_map,
    mix_maps,
)
from vgg_unpool_jax.errors import ConfigError, UserError, require_image
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.ops.moments import Moments, measure_sets, merge_sets
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.runtime.recompiled import Recompiled

# Share of the mean variance; see `stylization.transforms`.
RIDGE = 1e-2

Styles = StyleStatistics | Sequence[tuple[StyleStatistics, float]]


@dataclasses.dataclass(frozen=True)
class Task:
    """What `FeatureTransfer.stylize` was asked for.

    Attributes:
      photos: (n, h, w, 3) float32 RGB in [0, 255].
      regions: of the photos' size; None is one region.
      styles: each with its share.
      matchings: of the regions, for each style.
      blocks: to move features at, coarse to fine.
      strengths: block -> 0 (no change) to 1 (all of the style), or beyond.
      adjust: see `stylize`.
      progress: see `stylize`.
    """

    photos: np.ndarray
    regions: Regions | None
    styles: list[tuple[StyleStatistics, float]]
    matchings: list[Matching]
    blocks: tuple[int, ...]
    strengths: dict[int, float]
    adjust: Callable[[int, Moments], Moments] | None
    progress: Callable | None


class FeatureTransfer(Recompiled, abc.ABC):
    """Gives photos the look of others.

    Attributes:
      blocks: coarse to fine.
      encoders: block -> digest of VGG19 up to there.
      transform: the feature transform, one of `stylization.transforms.TRANSFORMS`.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        encoders: Mapping[int, str],
        *,
        transform: str,
        ridge: float,
    ):
        """Keep the options.

        Args:
          blocks: coarse to fine.
          encoders: block -> digest of VGG19 up to there.
          transform: one of `stylization.transforms.TRANSFORMS`.
          ridge: see `stylization.transforms`.
        """
        if transform not in TRANSFORMS:
            raise ConfigError(
                f"transform must be one of {', '.join(TRANSFORMS)}, got {transform!r}"
            )
        if not ridge > 0.0:
            raise ConfigError(f"ridge must be positive, got {ridge}")
        self.blocks, self.encoders = tuple(blocks), dict(encoders)
        self.transform, self._ridge = transform, ridge

    @abc.abstractmethod
    def measure_moments(
        self, photo: np.ndarray, region_map: RegionMap, progress: Callable | None
    ) -> dict[int, Moments]:
        """Block -> moments of the regions of a photo (h, w, 3), float32."""

    @abc.abstractmethod
    def transfer(self, task: Task) -> np.ndarray:
        """The photos (n, h, w, 3) with their features moved, not clipped."""

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
        moments = self.measure_moments(photo, region_map, progress)
        colors = sample_colors(photo, regions)
        return StyleStatistics(region_map.names, moments, dict(self.encoders), colors)

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
        matchings: Sequence[Matching] | None = None,
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
          alpha: 0 is no change, 1 the whole style.
          strengths: block -> factor on alpha for this block; 1 where it is not named.
            A block of strength 0 is left out, and with it the loss of its decoder.
          matchings: of the regions, for each style; None are those of `match`.
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
        if matchings is None:
            matchings = [self.match(regions, one) for one, _ in styles]
        task = Task(
            photos,
            regions,
            styles,
            list(matchings),
            tuple(blocks),
            {block: alpha * strengths.get(block, 1.0) for block in blocks},
            adjust,
            progress,
        )
        result = self.transfer(task)
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
                    "those of the model: make them again"
                )

    def make_maps(self, task: Task, block: int, measured: Moments) -> AffineMap:
        """Maps (n, r, ...) of every region of every photo.

        Args:
          task: the styles.
          block: of the features.
          measured: moments (n, r, ...) of the photos' regions.
        """
        if task.adjust is not None:
            measured = task.adjust(block, measured)
        factor = task.strengths[block]
        maps = [
            self._maps(measured, style, matching, block, factor)
            for (style, _), matching in zip(task.styles, task.matchings, strict=True)
        ]
        return mix_maps(maps, [share for _, share in task.styles])

    def _maps(self, measured, style, matching, block, factor) -> AffineMap:
        content, target, theirs = [], [], style.moments[block]
        for photo in range(len(measured.count)):
            moments = jax.tree.map(lambda array, i=photo: array[i], measured)
            # A thin region may have no cell of this block: it has no moments then.
            partners = [
                partner if moments.count[i] and theirs.count[partner] else -1
                for i, partner in enumerate(matching.pairs)
            ]
            whole = merge_sets(moments) if -1 in partners else None
            for index, partner in enumerate(partners):
                if partner < 0:
                    content.append(whole)
                    target.append(style.whole[block])
                else:
                    content.append(_only(moments, index))
                    target.append(_only(theirs, partner))
        # Threads of LAPACK wait for each other in busy loops: with other work on the
        # cores an eigendecomposition takes ten times as long with two as with one.
        with threadpoolctl.threadpool_limits(1, "blas"):
            maps = _make_maps(
                *(
                    jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
                    for parts in (content, target)
                ),
                factor,
                transform=self.transform,
                ridge=self._ridge,
            )
            jax.block_until_ready(maps)
        shape = measured.count.shape
        return jax.tree.map(lambda array: array.reshape(*shape, *array.shape[1:]), maps)


def measure_features(
    features: jax.Array, region_map: RegionMap, tile, block: int, *, step: int = 1
) -> Moments:
    """Moments (n, r, ...) of the regions in a tile, float32 on the host.

    Args:
      features: (n, h, w, c) of the tile.
      region_map: the regions; those that the tile does not have get zeros.
      tile: of the canvas.
      block: that the features are of.
      step: only cells of every step-th row and column are looked at, each of which
        counts for step².
    """
    channels = features.shape[-1]
    features = features[:, step // 2 :: step, step // 2 :: step]
    leading = len(features), len(region_map.names)
    shapes = leading, (*leading, channels), (*leading, channels, channels)
    found = Moments(*(np.zeros(shape, np.float32) for shape in shapes))
    for group in groups_of_regions(region_map.present(tile)):
        coverage = region_map.coverage(tile, block, group, once=True)
        coverage = step**2 * coverage[:, step // 2 :: step, step // 2 :: step]
        known = group >= 0
        measured = _measure_photos(features, coverage)
        for array, values in zip(found, measured, strict=True):
            array[:, group[known]] = np.asarray(values)[:, known]
    return found


def map_features(
    features: jax.Array, region_map: RegionMap, tile, block: int, maps: AffineMap
) -> jax.Array:
    """Map features (n, h, w, c) of a tile by the maps (n, r, ...) of its regions."""
    mapped = features
    for group in groups_of_regions(region_map.present(tile)):
        coverage = region_map.coverage(tile, block, group)
        part = AffineMap(*(array[:, np.maximum(group, 0)] for array in maps))
        mapped = _map_photos(features, coverage, part, mapped)
    return mapped


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
