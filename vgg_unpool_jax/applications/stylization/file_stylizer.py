"""Style transfer from files to files."""

import functools
import os
from collections.abc import Callable, Sequence

import numpy as np

from vgg_unpool_jax.applications.stylization.automatic_regions import (
    automatic_regions,
    refine_regions,
)
from vgg_unpool_jax.applications.stylization.cascade import Stylizer
from vgg_unpool_jax.applications.stylization.files import ContentFile, StyleFile, number
from vgg_unpool_jax.applications.stylization.region_files import (
    read_region_pair,
    read_regions,
)
from vgg_unpool_jax.applications.stylization.regions import Regions, fit_regions
from vgg_unpool_jax.applications.stylization.resizing import (
    enlarge_to_size,
    reduce_to_side,
)
from vgg_unpool_jax.applications.stylization.smoothing import smooth
from vgg_unpool_jax.applications.stylization.style_statistics import (
    StyleStatistics,
    read_style,
)
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.pictures import save_photo, side_by_side
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.systems.unpooling.pair import Encoder, load_encoder, load_pair

PathLike = str | os.PathLike

# Longest side in pixels at which automatic regions are looked for.
_REGIONS_SIDE = 768
# Pixels a side of the tiles of the guided filter.
_FILTER_TILE = 2048


def load_stylizer(
    pairs: Sequence[PathLike],
    weights: PathLike | None = None,
    levels: Sequence[int | str] | None = None,
    **options,
) -> Stylizer:
    """Load pairs and put them together.

    Args:
      pairs: names, files or workdirs as `load_pair` takes them.
      weights: the VGG19 weight file; see `load_pair`.
      levels: blocks to use of these pairs; None is all.
      **options: of `Stylizer`.
    """
    loaded = [load_pair(pair, weights) for pair in pairs]
    blocks = [pair.block for pair in loaded]
    levels = [int(number(level, "level")) for level in levels or ()]
    for level in levels:
        if level not in blocks:
            raise ConfigError(
                f"level {level} has no pair: those named are of the blocks "
                f"{', '.join(map(str, blocks))}; name one of block {level} too"
            )
    used = [pair for pair in loaded if not levels or pair.block in levels]
    return Stylizer(used, **options)


class FileStylizer:
    """Stylises photo files, and keeps what it has found out about the styles.

    Attributes:
      stylizer: does the work.
      notes: sentences about the last photo's regions.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        styles: Sequence[StyleFile],
        *,
        automatic: int = 0,
        weights: PathLike | None = None,
        smoothing: str = "guided",
        alpha: float = 1.0,
        strengths=None,
        max_side: int = 0,
        progress: Callable | None = None,
    ):
        """Keep the options.

        Args:
          stylizer: to do the work.
          styles: one or more.
          automatic: number of regions to look for in photos without masks; 0 is none.
          weights: VGG19 weights for that, as in `load_encoder`.
          smoothing: one of `stylization.smoothing.SMOOTHINGS`.
          alpha: see `Stylizer.stylize`.
          strengths: see `Stylizer.stylize`.
          max_side: photos with a longer side are reduced to it for all but the
            smoothing, which brings the result to the photo's size; 0 is no limit.
          progress: see `Stylizer.stylize`.
        """
        self.stylizer, self._styles, self._max_side = stylizer, list(styles), max_side
        self._smoothing, self._automatic, self._weights = smoothing, automatic, weights
        self._options = {"alpha": alpha, "strengths": strengths, "progress": progress}
        self._known, self.notes = {}, ()
        if automatic and (len(self._styles) > 1 or self._styles[0].is_saved):
            raise ConfigError(
                "automatic regions are found in one content and one style photo "
                "together: name one style, as a photo"
            )

    def stylize(self, file: ContentFile, *, grid: bool = False, quality: int = 95):
        """Stylise one file.

        Args:
          file: the photo, its mask and its output.
          grid: write a picture of photo and result side by side, too.
          quality: of JPEG and WebP.

        Returns:
          (h, w, 3) float32 in [0, 255], what was written.
        """
        photo = decode_photo(file.path, str(file.path))
        reduced = reduce_to_side(photo, self._max_side)
        styles, regions = [], None
        for style in self._styles:
            statistics, regions = self._statistics(file, reduced, style)
            styles.append((statistics, style.share))
        matchings = [self.stylizer.match(regions, one) for one, _ in styles]
        notes = [note for matching in matchings for note in matching.sentences]
        self.notes = tuple(dict.fromkeys(notes))
        result = self.stylizer.stylize(reduced, styles, regions, **self._options)
        result = enlarge_to_size(result, *photo.shape[:2])
        result = np.asarray(
            smooth(self._smoothing, photo, result, **self._tiled(photo))
        )
        result = np.clip(result, 0.0, 255.0)
        save_photo(file.output, result, quality=quality)
        if grid:
            save_photo(file.grid, side_by_side([photo, result]))
        return result

    def _tiled(self, photo) -> dict[str, int]:
        """Options that keep the guided filter's memory to that of a tile."""
        if self._smoothing != "guided":
            return {}
        # Its margins are a tenth of the longer side each.
        return {"tile": max(_FILTER_TILE, round(0.3 * max(photo.shape)))}

    def measure(self, style: StyleFile) -> StyleStatistics:
        """Statistics of a style with its own mask, or those of its file."""
        if style.is_saved:
            return read_style(style.path)
        photo = self._style_photo(style.path)
        regions = None
        if style.mask is not None:
            regions = fit_regions(
                read_regions(style.mask), *photo.shape[:2], str(style.mask)
            )
        return self._measured(style.path, photo, regions)

    def _statistics(self, file, photo, style):
        """Statistics of a style, and the regions of the photo that go with them."""
        size = photo.shape[:2]
        if self._automatic and file.mask is None:
            theirs = self._style_photo(style.path)
            regions, style_regions = self._find_regions(photo, theirs)
            return self._measured(style.path, theirs, style_regions), regions
        if file.mask is None:
            return self.measure(style), None
        if style.mask is None:
            regions = fit_regions(read_regions(file.mask), *size, str(file.mask))
            return self.measure(style), regions
        theirs = self._style_photo(style.path)
        regions, style_regions = read_region_pair(file.mask, style.mask)
        style_regions = fit_regions(style_regions, *theirs.shape[:2], str(style.mask))
        statistics = self._measured(style.path, theirs, style_regions)
        return statistics, fit_regions(regions, *size, str(file.mask))

    def _style_photo(self, path):
        return reduce_to_side(decode_photo(path, str(path)), self._max_side)

    def _measured(self, path, photo, regions):
        # One style serves all photos of a folder whose masks agree about it.
        key = (str(path), _fingerprint(regions))
        if key not in self._known:
            self._known[key] = self.stylizer.measure_style(
                photo, regions, progress=self._options["progress"]
            )
        return self._known[key]

    @functools.cached_property
    def _encoder(self) -> Encoder:
        return load_encoder(5, self._weights)

    def _find_regions(self, photo, style) -> list[Regions]:
        photos = [reduce_to_side(image, _REGIONS_SIDE) for image in (photo, style)]
        features, covers = [], []
        for image in photos:
            padded = pad_to_multiple(np.asarray(image[None], np.float32), 16)
            features.append(np.asarray(self._encoder.encode(padded)[0][0]))
            covers.append(tuple(side / 16 for side in image.shape[:2]))
        found = automatic_regions(*features, count=self._automatic)
        return [
            refine_regions(regions, image, covers=cover)
            for regions, image, cover in zip(found, (photo, style), covers, strict=True)
        ]


def _fingerprint(regions: Regions | None):
    if regions is None:
        return None
    array = regions.labels if regions.weights is None else regions.weights
    return regions.names, hash(array.tobytes())
