"""Pairs whose right result is known: two places of one photo, one of them disturbed.

The style is one place, the content another with brightness, contrast, saturation and
hue changed; the target is the content before that. No photos of one scene in two lights
are needed. A method that gives the content the moments of the style is wrong by what
the two places differ in.

Source: the self-supervised test of CanonCGT, arXiv 2606.01638; the draws are our own.
"""

import os
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageEnhance

from vgg_unpool_jax.applications.stylization.photo_pairs import (
    StylePair,
    list_style_pairs,
)
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.host_augmentation import shift_hue
from vgg_unpool_jax.data.photo_files import list_photo_files
from vgg_unpool_jax.errors import PhotoError, SourceError
from vgg_unpool_jax.evaluation.pictures import save_png
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.io.paths import to_path

SIDE = 448
PARTS = ("content", "style", "target")
_AREAS, _ASPECTS = (0.10, 0.36), (3 / 4, 4 / 3)
_FACTORS, _HUES = (0.1, 0.4), (0.01, 0.05)
_TRIES = 1000


def draw_pair(photo: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw content, style and target of a photo.

    The places have no pixel in common, 10 to 36 % of the photo's area each and sides
    within 3:4; both are resized to 448 × 448. Brightness, contrast and saturation of
    the content are multiplied, in this order, by 1 ± [0.1, 0.4], and its hue is turned
    by ± [0.01, 0.05] of the circle.

    Args:
      photo: uint8 (h, w, 3) RGB.
      rng: draws places and changes.

    Returns:
      uint8 (448, 448, 3) by part.
    """
    image = Image.fromarray(photo)
    for _ in range(_TRIES):
        ours, theirs = (_draw_box(*image.size, rng) for _ in range(2))
        if ours and theirs and not _overlap(ours, theirs):
            break
    else:
        raise PhotoError(f"no two places found in a photo of {image.size} pixels")
    target, style = (
        image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
        for box in (ours, theirs)
    )
    content = target
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        content = kind(content).enhance(1 + _signed(_FACTORS, rng))
    content = shift_hue(content, _signed(_HUES, rng))
    parts = zip(PARTS, (content, style, target), strict=True)
    return {name: np.asarray(part) for name, part in parts}


def write_pairs(photos: Sequence[pathlib.Path], folder: str | os.PathLike) -> None:
    """Write a pair of each photo, as `photo_pairs.list_style_pairs` reads them.

    The draws depend on the name of the file alone.

    Args:
      photos: files with different names.
      folder: for content/, style/ and target/.
    """
    for path in photos:
        photo = decode_photo(path, str(path))
        rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
        for part, pixels in draw_pair(photo, rng).items():
            (to_path(folder) / part).mkdir(parents=True, exist_ok=True)
            save_png(to_path(folder) / part / f"{path.stem}.png", pixels)


def make_pairs(
    photos: str | os.PathLike, folder: str | os.PathLike, *, count: int = 0
) -> list[StylePair]:
    """Write a pair of each photo of a folder.

    Args:
      photos: the folder, which is searched in depth.
      folder: for content/, style/ and target/.
      count: of photos, from the first on; 0 is all.

    Returns:
      The pairs; files that were in the folder before are not among them.
    """
    paths = [file.path for file in list_photo_files(photos, folder)][: count or None]
    names = {path.stem for path in paths}
    if len(names) < len(paths):
        raise SourceError(f"{photos} has two photos of one name")
    targets = [
        to_path(folder) / part / f"{name}.png" for part in PARTS for name in names
    ]
    check_outputs(targets, paths)
    write_pairs(paths, folder)
    return [pair for pair in list_style_pairs(folder)[0] if pair.name in names]


def _signed(span, rng) -> float:
    return float(rng.choice((-1, 1)) * rng.uniform(*span))


def _draw_box(width, height, rng):
    """Left, top, right, bottom; None where the drawn sides exceed the photo's."""
    area = width * height * rng.uniform(*_AREAS)
    aspect = np.exp(rng.uniform(*np.log(_ASPECTS)))
    w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
    if w > width or h > height:
        return None
    left, top = (int(rng.integers(n + 1)) for n in (width - w, height - h))
    return left, top, left + w, top + h


def _overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
