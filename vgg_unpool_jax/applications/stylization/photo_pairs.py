"""Content and style photos in folders, results of programs, and their scores."""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import skimage.color
from PIL import Image

from vgg_unpool_jax.applications.resizing import resize
from vgg_unpool_jax.applications.stylization.color_metrics import (
    histogram_correlation,
    lab_distance,
    sobel_ssim,
)
from vgg_unpool_jax.applications.stylization.color_transfer import (
    transfer_color,
    transfer_rgb,
)
from vgg_unpool_jax.applications.stylization.metrics import (
    StyleMeter,
    edge_ssim,
    style_distances,
    style_reductions,
)
from vgg_unpool_jax.applications.stylization.region_files import read_region_pair
from vgg_unpool_jax.applications.stylization.regions import fit_regions
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.formats import PHOTO_SUFFIXES
from vgg_unpool_jax.errors import MaskError, PhotoError, SourceError
from vgg_unpool_jax.evaluation.metrics import photo_psnr, photo_ssim
from vgg_unpool_jax.io.paths import to_path

_LOG = logging.getLogger(__name__)


Reductions = Mapping[int, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class StylePair:
    """Files of one pair.

    Attributes:
      name: of the files, without extension.
      content: the photo that keeps its structure.
      style: the photo that gives the look.
      masks: segmentation maps of content and style; None where one is missing.
      target: the right result; None where nobody knows it.
    """

    name: str
    content: pathlib.Path
    style: pathlib.Path
    masks: tuple[pathlib.Path, pathlib.Path] | None
    target: pathlib.Path | None = None

    @property
    def files(self) -> list[pathlib.Path]:
        """The photos and masks."""
        target = [self.target] if self.target else []
        return [self.content, self.style, *(self.masks or ()), *target]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Content and style, uint8 (h, w, 3) each."""
        return tuple(
            decode_photo(path, str(path), tell_alpha=True)
            for path in (self.content, self.style)
        )

    def read_labels(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Labels (h, w) of content and style, equal ones of equal regions, or None."""
        if self.masks is None:
            return None
        numbers, found = {}, []
        regions_of_both = read_region_pair(*self.masks)
        for regions, mask, photo in zip(
            regions_of_both, self.masks, self.read(), strict=True
        ):
            regions = fit_regions(regions, *photo.shape[:2], str(mask))
            if regions.labels is None:
                raise MaskError(f"{mask} has soft regions, expected labels")
            # The same number on both sides for the same name.
            own = [numbers.setdefault(name, len(numbers)) for name in regions.names]
            found.append(np.array(own)[regions.labels])
        return tuple(found)


@dataclasses.dataclass(frozen=True)
class StyleScore:
    """One result in numbers.

    Attributes:
      method: name of the program or method.
      pair: name of the pair.
      edge_ssim: structure kept.
      whole: reductions of the distances to the style, {block: {kind: reduction}}.
      regions: the same region by region; None without masks.
      sobel_ssim: structure kept as others measure it, see `color_metrics`.
      lab_distance: of the colours to those of the style, see `color_metrics`.
      lab_distance_by_region: the same region by region; None without masks.
      histogram_correlation: with the style, see `color_metrics`.
      lpips: distance to the content; None where its weights are missing.
      target: how near it is to the right result: "psnr" in dB, "ssim", "delta_e" (mean
        distance in CIELAB) and "lpips"; None without a target.
      seconds: a megapixel, from file to file; None where another program made it.
    """

    method: str
    pair: str
    edge_ssim: float
    whole: Reductions
    regions: Reductions | None
    sobel_ssim: float
    lab_distance: float
    lab_distance_by_region: float | None
    histogram_correlation: float
    lpips: float | None = None
    target: Mapping[str, float | None] | None = None
    seconds: float | None = None


def find_file(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The one picture of this name, whatever its extension."""
    if not folder.is_dir():
        return None
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.stem == name and path.suffix.lower() in PHOTO_SUFFIXES
    ]
    if len(found) > 1:
        raise PhotoError(f"{folder} has both {found[0].name} and {found[1].name}")
    return found[0] if found else None


def list_style_pairs(
    folder: str | os.PathLike,
) -> tuple[list[StylePair], list[str]]:
    """Pairs in a folder with content/, style/, their masks and right results.

    Args:
      folder: content_segment/, style_segment/ and target/ may be missing, or some of
        their files.

    Returns:
      The pairs in the order of their names, and a sentence for each that is left out
      as it lacks a photo or has two of a name.
    """
    folder = to_path(folder)
    parts = ("content", "style", "content_segment", "style_segment", "target")
    names = sorted(
        {
            path.stem
            for part in parts
            if (folder / part).is_dir()
            for path in (folder / part).iterdir()
            if path.suffix.lower() in PHOTO_SUFFIXES
        }
    )
    pairs, left_out = [], []
    for name in names:
        try:
            found = [find_file(folder / part, name) for part in parts]
        except PhotoError as error:
            left_out.append(f"{error}: left out")
            continue
        content, style, *masks, target = found
        missing = [
            part
            for part, path in (("content", content), ("style", style))
            if path is None
        ]
        if missing:
            left_out.append(f"{name} has no {' and no '.join(missing)}: left out")
            continue
        masks = None if None in masks else tuple(masks)
        pairs.append(StylePair(name, content, style, masks, target))
    if not pairs:
        raise SourceError(
            f"there are no photos of the same name in {folder / 'content'} and "
            f"{folder / 'style'}"
        )
    return pairs, left_out


def baselines(
    content: np.ndarray,
    style: np.ndarray,
    labels: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, np.ndarray]:
    """Results of simple methods, float32 (h, w, 3) by name of the method."""
    found = {
        "content": np.asarray(content, np.float32),
        "Reinhard": transfer_color(content, style),
        "RGB transport": transfer_rgb(content, style),
    }
    if labels is not None:
        found["Reinhard, masks"] = transfer_color(content, style, *labels)
        found["RGB transport, masks"] = transfer_rgb(content, style, *labels)
    return found


def read_result(path: pathlib.Path, content: np.ndarray) -> np.ndarray:
    """Read a result, and resample it to the size of its content if necessary.

    Some programs crop to multiples of 16 or scale photos; a warning is logged.

    Args:
      path: the picture.
      content: (h, w, 3).
    """
    result = decode_photo(path, str(path))
    (height, width), (h, w) = content.shape[:2], result.shape[:2]
    if (height, width) == (h, w):
        return result
    if not 0.9 < (w * height) / (h * width) < 1.1:
        raise PhotoError(
            f"{path} has {w}×{h} pixels, which is no result for {width}×{height}"
        )
    _LOG.warning("%s: resampled from %d×%d to %d×%d", path, w, h, width, height)
    return resize(result, (height, width), method=Image.Resampling.LANCZOS)


def score_pair(
    meter: StyleMeter,
    pair: StylePair,
    folders: Mapping[str, str | os.PathLike],
    keep: Callable[[str, str, np.ndarray], None] = lambda *_: None,
    *,
    lpips: Callable | None = None,
) -> Iterator[StyleScore]:
    """Score the baselines and the results of programs on one pair.

    Results are rounded to 8 bits first, as they would be stored.

    Args:
      meter: measures the features.
      pair: the files.
      folders: folder of results by name of the method, files named like the pair; where
        there is none, there is no score, and a warning is logged.
      keep: called with the pair, the method and the uint8 picture, content and style
        first.
      lpips: the metric, see `evaluation.perceptual`; None leaves it out.

    Yields:
      One score per method.
    """
    (content, style), labels = pair.read(), pair.read_labels()
    target = pair.target and read_result(pair.target, content)
    keep(pair.name, "content", content)
    keep(pair.name, "style", style)
    results = baselines(content, style, labels)
    for method, folder in folders.items():
        path = find_file(to_path(folder), pair.name)
        if path is None:
            _LOG.warning("%s has no result for %s", folder, pair.name)
            continue
        results[method] = read_result(path, content)
    sides = [(None, None), *([labels] if labels else [])]
    targets = [meter.measure(style, theirs) for _, theirs in sides]
    starts = [
        style_distances(meter.measure(content, ours), target)
        for (ours, _), target in zip(sides, targets, strict=True)
    ]
    for method, result in results.items():
        pixels = np.rint(np.clip(result, 0, 255)).astype(np.uint8)
        if method != "content":
            keep(pair.name, method, pixels)
        reductions = [
            style_reductions(
                start, style_distances(meter.measure(pixels, ours), target)
            )
            for (ours, _), start, target in zip(sides, starts, targets, strict=True)
        ]
        yield StyleScore(
            method,
            pair.name,
            edge_ssim(content, pixels),
            *(reductions if labels else (*reductions, None)),
            sobel_ssim(content, pixels),
            lab_distance(pixels, style),
            lab_distance(pixels, style, labels) if labels else None,
            histogram_correlation(pixels, style),
            float(lpips(content[None], pixels[None])[0]) if lpips else None,
            _target_score(pixels, target, lpips) if pair.target else None,
        )


def _target_score(pixels, target, lpips) -> dict[str, float | None]:
    ours, theirs = (np.asarray(x, np.float32)[None] for x in (pixels, target))
    lab = [skimage.color.rgb2lab(x) for x in (pixels, target)]
    return {
        "psnr": float(photo_psnr(ours, theirs)[0]),
        "ssim": float(photo_ssim(ours, theirs)[0]),
        "delta_e": float(np.linalg.norm(lab[0] - lab[1], axis=-1).mean()),
        "lpips": float(lpips(ours, theirs)[0]) if lpips else None,
    }
