"""Style transfer from files to files: photos, masks, styles, results."""

import collections
import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vgg_unpool_jax.applications.resizing import reduce_to_side, resize
from vgg_unpool_jax.applications.stylization.automatic_regions import (
    automatic_regions,
    refine_regions,
    region_likeness,
)
from vgg_unpool_jax.applications.stylization.cascade import Stylizer
from vgg_unpool_jax.applications.stylization.faces import find_faces, keep_faces
from vgg_unpool_jax.applications.stylization.finishing import finish
from vgg_unpool_jax.applications.stylization.guided_filter import guided_filter
from vgg_unpool_jax.applications.stylization.kept_features import KeptFeatures
from vgg_unpool_jax.applications.stylization.looks import DEFAULT_LOOK, LOOKS, Look
from vgg_unpool_jax.applications.stylization.lut import apply_lut, fit_lut, write_lut
from vgg_unpool_jax.applications.stylization.options import DIFFERENCE, GUIDED, LUT
from vgg_unpool_jax.applications.stylization.region_files import (
    read_region_pair,
    read_regions,
)
from vgg_unpool_jax.applications.stylization.regions import (
    Matching,
    Regions,
    fit_regions,
)
from vgg_unpool_jax.applications.stylization.smoothing import smooth
from vgg_unpool_jax.applications.stylization.style_statistics import (
    StyleStatistics,
    read_style,
)
from vgg_unpool_jax.applications.stylization.transfer import FeatureTransfer
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.folder import is_photo_name
from vgg_unpool_jax.data.photo_files import list_photo_files
from vgg_unpool_jax.errors import ConfigError, MaskError, SourceError, require_list
from vgg_unpool_jax.evaluation.pictures import (
    check_photo_name,
    save_photo,
    side_by_side,
)
from vgg_unpool_jax.io.outputs import check_outputs, names_file
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.systems.unpooling.pair import Encoder, load_encoder, load_pair

PathLike = str | os.PathLike

# Longest side in pixels at which automatic regions are looked for.
_REGIONS_SIDE = 768
# Automatic regions less alike than this take the style of the whole photo.
_UNLIKE = 0.3
# Share of the change that regions with nothing in common take.
_CALM = 0.45
# Pixels per side of the tiles of the guided filter.
_FILTER_TILE = 2048


@dataclasses.dataclass(frozen=True)
class StyleFile:
    """A style as the user names it.

    Attributes:
      path: a photo, or a file of statistics that was saved.
      mask: of the photo; None is one region.
      share: among several styles.
    """

    path: pathlib.Path
    mask: pathlib.Path | None = None
    share: float = 1.0

    @property
    def is_saved(self) -> bool:
        """Whether it is a file of statistics."""
        return self.path.suffix == ".safetensors"


@dataclasses.dataclass(frozen=True)
class ContentFile:
    """A photo to stylise.

    Attributes:
      path: of the photo.
      mask: its segmentation map, or None.
      output: path of the result.
      problem: why there is no mask where one is expected; else None.
    """

    path: pathlib.Path
    mask: pathlib.Path | None
    output: pathlib.Path
    problem: str | None = None

    @property
    def grid(self) -> pathlib.Path:
        """Path of a picture of photo and result side by side."""
        return self.output.with_name(f"{self.output.stem}_grid.png")


def list_content_files(
    content: PathLike,
    output: PathLike,
    mask: PathLike | None = None,
    suffix: str = ".png",
) -> list[ContentFile]:
    """Pair photos with their masks and outputs.

    Args:
      content: a photo, or a folder that is searched in depth.
      output: of a photo a file, whose name ends in one of `PHOTO_SUFFIXES`; or a
        folder for files with the photos' names, which has to end with a slash if it
        does not exist and looks like a file.
      mask: of the photo; or a folder with one for every photo: a picture, or a folder
        of layers, of the same name below the same subfolders, whatever the extension.
        Masks that lie at the top serve photos in subfolders whose names differ.
      suffix: of outputs in a folder.
    """
    is_folder = to_path(output).is_dir() or not names_file(output)
    if not is_folder and not to_path(content).is_dir():
        check_photo_name(output)
        found = [(to_path(content), to_path(output))]
        if not found[0][0].is_file():
            raise SourceError(f"there is no photo or folder {content}")
    else:
        photos = list_photo_files(content, output)
        found = [(photo.path, photo.output.with_suffix(suffix)) for photo in photos]
    top = to_path(content) if to_path(content).is_dir() else found[0][0].parent
    masks = _find_masks([path for path, _ in found], top, mask)
    files = []
    for (path, target), (mask_path, problem) in zip(found, masks, strict=True):
        files.append(ContentFile(path, mask_path, target, problem))
    reads = [path for file in files for path in (file.path, file.mask) if path]
    check_outputs([file.output for file in files], reads)
    return files


def _find_masks(photos, top, mask):
    """The mask of each photo, or a sentence that says why it has none."""
    if mask is None:
        return [(None, None) for _ in photos]
    mask = to_path(mask)
    if not mask.is_dir():
        if not mask.exists():
            raise ConfigError(f"there is no mask {mask}")
        return [(mask, None) for _ in photos]
    found = list(_masks_in_folder(mask, [photo.relative_to(top) for photo in photos]))
    if all(path is None for path, _ in found):
        rest = f", nor for the {len(found) - 1} other photos" if found[1:] else ""
        raise ConfigError(found[0][1] + rest)
    return found


def _masks_in_folder(folder, names):
    parents = {parent for name in names for parent in name.parents}
    of_path = collections.Counter(name.with_suffix("") for name in names)
    of_stem = collections.Counter(name.stem for name in names)

    @functools.cache
    def listed(parent):
        masks, place = collections.defaultdict(list), folder / parent
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.is_dir():
                # Layers, unless it is for the photos of the folder of that name.
                if parent / path.name not in parents:
                    masks[path.name].append(path)
            elif is_photo_name(path.name):
                masks[path.stem].append(path)
        return masks

    for name in names:
        places = (
            (name.parent, name.name, 1),  # a.jpg.png, where there is an a.png as well
            (name.parent, name.stem, of_path[name.with_suffix("")]),
            (pathlib.PurePath(), name.stem, of_stem[name.stem]),
        )
        known = ((listed(place), key, sharing) for place, key, sharing in places)
        found, sharing = next(
            ((masks[key], sharing) for masks, key, sharing in known if key in masks),
            ((), 0),
        )
        if not found:
            yield None, f"there is no mask for {name} in {folder}"
        elif len(found) > 1:
            yield None, f"both {found[0]} and {found[1].name} are masks for {name}"
        elif sharing > 1:
            yield (
                None,
                f"{found[0]} could be the mask of {name} and of another photo: "
                f"name that of {name} {folder / name.parent / name.name}.png",
            )
        else:
            yield found[0], None


def load_stylizer(
    pairs: Sequence[PathLike],
    vgg19: PathLike | None = None,
    blocks: Sequence[int] = (),
    **options,
) -> Stylizer:
    """Load the pairs of a stylizer.

    Args:
      pairs: names, files or workdirs as `load_pair` takes them.
      vgg19: the VGG19 weight file; see `load_pair`.
      blocks: the blocks to use of these pairs; empty means all.
      **options: of `Stylizer`.
    """
    require_list("pairs", pairs)
    require_list("blocks", blocks)
    loaded = {pair.block: pair for pair in (load_pair(pair, vgg19) for pair in pairs)}
    if len(loaded) < len(pairs):
        raise ConfigError(f"the pairs {', '.join(map(str, pairs))} share a block")
    for block in blocks:
        if block not in loaded:
            raise ConfigError(
                f"level {block} has no pair: those named are of the blocks "
                f"{', '.join(map(str, loaded))}; name one of block {block} too"
            )
    return Stylizer([loaded[block] for block in blocks or loaded], **options)


class FileStylizer:
    """Stylises photo files, and keeps the statistics of the styles.

    Attributes:
      stylizer: moves the features.
      notes: sentences about the last photo's regions.
      regions: of the last photo and of its style, where they were found automatically;
        else None. Those with little in common have other names.
    """

    def __init__(
        self,
        stylizer: FeatureTransfer,
        styles: Sequence[StyleFile],
        *,
        automatic: int = 0,
        vgg19: PathLike | None = None,
        encoder: Encoder | KeptFeatures | None = None,
        smoothing: str = DIFFERENCE,
        look: Look = LOOKS[DEFAULT_LOOK],
        alpha: float = 1.0,
        strengths: Mapping[int, float] | None = None,
        max_side: int = 0,
        faces: float = 0.0,
        progress: Callable | None = None,
    ):
        """Keep the options.

        Args:
          stylizer: moves the features.
          styles: one or more.
          automatic: number of regions to look for in photos without masks; 0 is none.
          vgg19: VGG19 weights for that, as in `load_encoder`.
          encoder: of block 5 for that, an `Encoder` or `KeptFeatures`; None loads it.
          smoothing: one of `stylization.smoothing.SMOOTHINGS`.
          look: strengths of the levels; for the smoothing "difference" its radius and
            the closing match of colours, too.
          alpha: see `FeatureTransfer.stylize`.
          strengths: factors on those of the look.
          max_side: photos with a longer side are reduced to it for all steps but the
            last, which brings the result to the photo's size along its edges; 0 is no
            limit.
          faces: share of a change of colour that faces do not take, see `keep_faces`;
            0 looks for none. The smoothing "lut" maps all pixels alike.
          progress: see `FeatureTransfer.stylize`.
        """
        require_list("styles", styles)
        self.stylizer, self._styles, self._max_side = stylizer, list(styles), max_side
        self._smoothing, self._automatic, self._vgg19 = smoothing, automatic, vgg19
        self._look, self._alpha = look, alpha
        strengths = look.strengths_at(stylizer.blocks, strengths)
        self._options = {"alpha": alpha, "strengths": strengths, "progress": progress}
        self._measured_styles, self.notes, self.regions = {}, (), None
        self._given_encoder, self._faces = encoder, faces
        self._strength = None  # of the last photo's automatic regions, (h, w, 1)
        if automatic and (len(self._styles) > 1 or self._styles[0].is_saved):
            raise ConfigError(
                "automatic regions are found in one content and one style photo "
                "together: name one style, as a photo"
            )
        # Once for all photos, before the work.
        for style in self._styles:
            if not style.is_saved:
                photo = decode_photo(style.path, str(style.path))
                if style.mask is not None:
                    _fit(read_regions(style.mask), photo, style.mask)

    def stylize(
        self,
        file: ContentFile,
        *,
        grid: bool = False,
        quality: int = 95,
        lut: PathLike | None = None,
    ):
        """Stylise one file.

        Args:
          file: the photo, its mask and its output.
          grid: whether to write a picture of photo and result side by side, too.
          quality: of JPEG and WebP.
          lut: write a table of the transfer's colours to this .cube file, too.

        Returns:
          (h, w, 3) float32 in [0, 255], as written.
        """
        photo, result = self.render(file)
        save_photo(file.output, result, quality=quality)
        if lut is not None:
            write_lut(lut, fit_lut(photo, result), file.output.stem)
        if grid:
            save_photo(file.grid, side_by_side([photo, result]))
        return result

    def render(self, file: ContentFile) -> tuple[np.ndarray, np.ndarray]:
        """The photo, uint8, and its result, float32 in [0, 255]; nothing is written."""
        if file.problem is not None:
            raise MaskError(file.problem)
        photo = decode_photo(file.path, str(file.path), tell_alpha=True)
        reduced = reduce_to_side(photo, self._max_side)
        self.regions, self._strength, styles, matchings = None, None, [], []
        regions = None
        # The mask of each of several styles may name the content's regions otherwise.
        if len(self._styles) > 1 and file.mask is not None:
            regions = _fit(read_regions(file.mask), reduced, file.mask)
        for style in self._styles:
            statistics, ours = self._statistics(file, reduced, style)
            regions = ours if regions is None else regions
            styles.append((statistics, style.share))
            matching = self.stylizer.match(ours, statistics)
            matchings.append(_matching_of(regions, matching, ours))
        notes = [note for matching in matchings for note in matching.sentences]
        self.notes = tuple(dict.fromkeys(notes))
        result = self.stylizer.stylize(
            reduced, styles, regions, matchings=matchings, **self._options
        )
        if self._smoothing in (DIFFERENCE, LUT):
            result = finish(
                reduced,
                result,
                styles,
                regions,
                matchings,
                self._look,
                alpha=self._alpha,
            )
        if self._strength is not None:
            result = reduced + self._strength * (np.asarray(result) - reduced)
        if self._smoothing == LUT:
            table = fit_lut(reduced, np.clip(result, 0.0, 255.0))
            result = apply_lut(table, photo)
        elif self._smoothing == DIFFERENCE:
            result = _enlarge_difference(photo, reduced, result)
        else:
            result = resize(result, photo.shape[:2])
            is_guided = self._smoothing == GUIDED
            options = {"tile": _filter_tile(photo)} if is_guided else {}
            result = smooth(self._smoothing, photo, result, **options)
        if self._faces and self._smoothing != LUT:
            features, covers = self._encode(reduced)
            faces = find_faces(features, reduced, covers=covers)
            if faces is not None:
                result = keep_faces(photo, result, faces, share=self._faces)
        return photo, np.clip(np.asarray(result), 0.0, 255.0)

    def measure(self, style: StyleFile) -> StyleStatistics:
        """Statistics of a style with its own mask, or those of its file."""
        if style.is_saved:
            return read_style(style.path)
        photo = self._style_photo(style.path)
        regions = None
        if style.mask is not None:
            regions = _fit(read_regions(style.mask), photo, style.mask)
        return self._measured(style.path, photo, regions)

    def _statistics(self, file, photo, style):
        """Statistics of a style, and the regions of the photo that go with them."""
        if self._automatic and file.mask is None:
            theirs = self._style_photo(style.path)
            self.regions = regions, style_regions = self._find_regions(photo, theirs)
            # Not kept: no other photo has the same regions of the style.
            return self._measure_style(theirs, style_regions), regions
        if file.mask is None:
            return self.measure(style), None
        if style.mask is None:
            return self.measure(style), _fit(read_regions(file.mask), photo, file.mask)
        theirs = self._style_photo(style.path)
        regions, style_regions = read_region_pair(file.mask, style.mask)
        style_regions = _fit(style_regions, theirs, style.mask)
        statistics = self._measured(style.path, theirs, style_regions)
        return statistics, _fit(regions, photo, file.mask)

    def _style_photo(self, path):
        photo = decode_photo(path, str(path), tell_alpha=True)
        return reduce_to_side(photo, self._max_side)

    def _measured(self, path, photo, regions):
        # One style serves all photos of a folder whose masks agree about it.
        key = str(path), _fingerprint(regions)
        if key not in self._measured_styles:
            self._measured_styles[key] = self._measure_style(photo, regions)
        return self._measured_styles[key]

    def _measure_style(self, photo, regions):
        progress = self._options["progress"]
        return self.stylizer.measure_style(photo, regions, progress=progress)

    @functools.cached_property
    def _encoder(self) -> KeptFeatures:
        encoder = self._given_encoder or load_encoder(5, self._vgg19)
        return encoder if isinstance(encoder, KeptFeatures) else KeptFeatures(encoder)

    def _find_regions(self, photo, style) -> list[Regions]:
        encoded = [self._encode(image) for image in (photo, style)]
        features, covers = zip(*encoded, strict=True)
        found = automatic_regions(*features, count=self._automatic)
        alike = region_likeness(features, found)
        ours, theirs = (
            refine_regions(regions, image, covers=cover)
            for regions, image, cover in zip(found, (photo, style), covers, strict=True)
        )
        names = [
            name if share >= _UNLIKE else f"{name} of the style"
            for name, share in zip(theirs.names, alike, strict=True)
        ]
        strengths = np.float32(_CALM + (1 - _CALM) * alike)
        self._strength = (ours.coverage @ strengths)[..., None]
        return [ours, dataclasses.replace(theirs, names=names)]

    def _encode(self, photo) -> tuple[np.ndarray, tuple[float, float]]:
        """Features of block 5 of a photo, and how many cells the photo covers."""
        image = reduce_to_side(photo, _REGIONS_SIDE)
        padded = pad_to_multiple(np.asarray(image[None], np.float32), 16)
        features = np.asarray(self._encoder.encode(padded)[0][0])
        return features, tuple(side / 16 for side in image.shape[:2])


def _enlarge_difference(photo, reduced, result) -> np.ndarray:
    """The photo plus what was added to it at a reduced size, along its edges."""
    if photo.shape == reduced.shape:
        return result
    scale = max(photo.shape) / max(reduced.shape)
    difference = resize(result - reduced, photo.shape[:2])
    difference = guided_filter(
        photo, difference, radius=math.ceil(2 * scale), tile=_FILTER_TILE
    )
    return photo + np.asarray(difference)


def _filter_tile(photo) -> int:
    # The margins of the guided filter are a tenth of the longer side each.
    return max(_FILTER_TILE, round(0.3 * max(photo.shape)))


def _fit(regions, photo, mask) -> Regions:
    return fit_regions(regions, *photo.shape[:2], str(mask))


def _matching_of(others, matching, regions) -> Matching:
    """The matching of regions for others, each of which is a part of one of them."""
    if others is regions or regions.labels is None:
        return matching
    present, first = np.unique(others.labels, return_index=True)
    pairs = np.full(len(others.names), -1)
    pairs[present] = np.array(matching.pairs)[regions.labels.ravel()[first]]
    return dataclasses.replace(matching, pairs=tuple(pairs.tolist()))


def _fingerprint(regions: Regions | None):
    if regions is None:
        return None
    array = regions.labels if regions.coverage is None else regions.coverage
    return regions.names, hash(array.tobytes())
