"""A page of pictures: some photos, their reconstructions by pairs, and the errors.

The photos are spaced evenly over the source, sorted by name, and not selected. Files:
`block{N}.jpg` per pair, `all.jpg` and `index.html`.
"""

import dataclasses
import html
import math
import os
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Protocol

import jax
import numpy as np
from PIL import Image

from vgg_unpool_jax.data import Source, make_crop
from vgg_unpool_jax.errors import ConfigError, PhotoError, require_list
from vgg_unpool_jax.evaluation.metrics import METRICS, photo_l1, photo_psnr
from vgg_unpool_jax.evaluation.pictures import error_image, picture_grid, save_jpeg
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import to_path

# Letters of a photo's name that fit beside its error above a column.
_NAME_LETTERS = 20
# A wider combined picture is reduced: browsers would, and with it the labels.
_WIDEST = 2000

_PAGE = string.Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>VGG19 unpooling pairs</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1600px;
  padding: 0 1em; color: #111; background: #fff; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid #bbb; padding: .2em .6em; text-align: right; }
th:first-child, td:first-child { text-align: left; }
</style>
</head>
<body>
<h1>VGG19 unpooling pairs</h1>
<p>Centre crops of $size × $size pixels at native resolution. The $count photos are
spaced evenly over $source, sorted by name; a photo that is too small or cannot be read
is replaced by the next one. Errors are |output - input| × $gain, clipped to white.
L1 is the mean absolute error per channel in [0, 255].</p>
<table>
<tr><th>photo</th>$heads</tr>
$rows
</table>
<h2>All pairs</h2>
<p>Reduced to fit a screen; the pictures of each pair below have all pixels.</p>
<a href="all.jpg"><img src="all.jpg" alt="Photos, reconstructions and errors"></a>
$sections
</body>
</html>
""")


class PairLike(Protocol):
    """The interface of a pair; see `pair.Pair`."""

    block: int

    def reconstruct(self, images) -> jax.Array:
        """Images (n, h, w, 3) to images, in [0, 255]."""

    def describe(self) -> str:
        """One line for people."""


@dataclasses.dataclass(frozen=True)
class _Rebuilt:
    """Reconstructions (n, s, s, 3) of the photos by one pair, and metrics (n,)."""

    block: int
    description: str
    images: np.ndarray
    l1: np.ndarray
    psnr: np.ndarray


def choose_photos(source: Source, count: int, image_size: int) -> dict[str, np.ndarray]:
    """Centre crops of photos, evenly spaced in the order of their names.

    Args:
      source: the photos.
      count: number of photos, at least 1.
      image_size: side s of the crops in pixels. A photo that is smaller, or cannot be
        read, is replaced by the next one.

    Returns:
      uint8 (s, s, 3) by name, in their order.
    """
    if count < 1:
        raise ConfigError(f"the number of photos must be at least 1, got {count}")
    crop = make_crop("center", image_size)
    order = sorted(range(len(source)), key=source.name)
    tried, chosen = set(), {}
    for place in np.linspace(0, len(order) - 1, count).round().astype(int):
        for index in [*order[place:], *order[:place]]:
            if index in tried:
                continue
            tried.add(index)
            try:
                photo = source[index]
            except PhotoError:
                continue
            if crop.fits(photo.shape):
                chosen[source.name(index)] = crop.cut(photo)
                break
        else:
            raise ConfigError(
                f"{source!r} has {len(chosen)} photos of at least {image_size} × "
                f"{image_size} pixels that can be read, {count} are needed"
            )
    return chosen


def write_release_page(
    pairs: Sequence[PairLike],
    source: Source,
    output: str | os.PathLike,
    *,
    photos: int = 6,
    image_size: int = 256,
    gain: float = 8.0,
) -> list[pathlib.Path]:
    """Reconstruct some photos with every pair and write the pictures and the page.

    Args:
      pairs: at least one, at most one per block.
      source: of the photos, see `choose_photos`.
      output: folder for the files; made when missing.
      photos: number of photos.
      image_size: side of the centre crops in pixels.
      gain: factor by which errors are amplified.

    Returns:
      The files: a JPEG per pair, `all.jpg`, `index.html`, which is written last.
    """
    folder = to_path(output)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, expected a folder")
    require_list("pairs", pairs)
    pairs = sorted(pairs, key=lambda pair: pair.block)
    blocks = [pair.block for pair in pairs]
    if not blocks or len(set(blocks)) < len(blocks):
        raise ConfigError(f"expected pairs of different blocks, got blocks {blocks}")
    chosen = choose_photos(source, photos, image_size)
    rebuilt = [_rebuild(pair, chosen) for pair in pairs]
    files = []
    for entry in rebuilt:
        files.append(folder / f"block{entry.block}.jpg")
        save_jpeg(files[-1], _block_picture(entry, chosen, gain))
    files.append(folder / "all.jpg")
    save_jpeg(files[-1], _combined_picture(rebuilt, chosen, gain))
    files.append(folder / "index.html")
    page = _page(rebuilt, list(chosen), repr(source), image_size, gain)
    with replacing(files[-1]) as file:
        file.write(page.encode())
    return files


def _rebuild(pair: PairLike, photos: Mapping[str, np.ndarray]) -> _Rebuilt:
    targets = np.stack(list(photos.values())).astype(np.float32)
    # One at a time, because block 5 would need gigabytes for several large photos.
    outputs = [np.asarray(pair.reconstruct(photo[None])) for photo in targets]
    images = np.concatenate(outputs).clip(0.0, 255.0)
    l1, psnr = (np.asarray(f(images, targets)) for f in (photo_l1, photo_psnr))
    return _Rebuilt(pair.block, pair.describe(), images, l1, psnr)


def _block_picture(
    rebuilt: _Rebuilt, photos: Mapping[str, np.ndarray], gain: float
) -> np.ndarray:
    """One column per photo: input, output, error."""
    columns = {}
    rows = zip(photos.items(), rebuilt.images, rebuilt.l1, strict=True)
    for number, ((name, photo), image, l1) in enumerate(rows, start=1):
        title = f"{number} {_shorten(name)}  L1 {l1:.2f}"
        columns[title] = np.stack([photo, image, error_image(image, photo, gain)])
    return picture_grid(columns, row_labels=("input", "output", f"error × {gain:g}"))


def _combined_picture(
    rebuilt: Sequence[_Rebuilt], photos: Mapping[str, np.ndarray], gain: float
) -> np.ndarray:
    """One row per photo: input, output and error of every pair; reduced if wide."""
    inputs = np.stack(list(photos.values()))
    columns = {"input": inputs}
    for entry in rebuilt:
        columns[f"block {entry.block} output"] = entry.images
        errors = error_image(entry.images, inputs, gain)
        columns[f"block {entry.block} error × {gain:g}"] = errors
    names = [f"{i} {_shorten(name)}" for i, name in enumerate(photos, start=1)]
    factor = math.ceil(len(columns) * inputs.shape[2] / _WIDEST)
    columns = {title: _reduce(images, factor) for title, images in columns.items()}
    return picture_grid(columns, row_labels=names)


def _reduce(images: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` pixels: (n, s, s, 3) to uint8 (n, s/f, s/f, 3)."""
    pixels = np.rint(images).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(i).reduce(factor)) for i in pixels])


def _shorten(name: str) -> str:
    """The file name of a path, without its middle if it is long."""
    name = pathlib.PurePosixPath(name).name
    if len(name) <= _NAME_LETTERS:
        return name
    half = (_NAME_LETTERS - 2) // 2
    return f"{name[:half]}..{name[-half:]}"


def _page(
    rebuilt: Sequence[_Rebuilt],
    names: Sequence[str],
    source: str,
    image_size: int,
    gain: float,
) -> str:
    l1, psnr = (METRICS[name].decimals for name in ("l1", "psnr"))
    rows = []
    for i, name in enumerate(names):
        cells = [
            f"<td>{entry.l1[i]:.{l1}f}</td><td>{entry.psnr[i]:.{psnr}f}</td>"
            for entry in rebuilt
        ]
        title = f"<td>{i + 1} {html.escape(name)}</td>"
        rows.append(f"<tr>{title}{''.join(cells)}</tr>")
    sections = [
        f"<h2>block{entry.block}_conv2</h2>\n<p>{html.escape(entry.description)}</p>\n"
        f'<a href="block{entry.block}.jpg"><img src="block{entry.block}.jpg" '
        f'alt="Inputs, outputs and errors of block {entry.block}" loading="lazy"></a>'
        for entry in rebuilt
    ]
    heads = [
        f"<th>block {entry.block} L1</th><th>block {entry.block} PSNR, dB</th>"
        for entry in rebuilt
    ]
    return _PAGE.substitute(
        count=len(names),
        size=image_size,
        source=html.escape(source),
        gain=f"{gain:g}",
        heads="".join(heads),
        rows="\n".join(rows),
        sections="\n".join(sections),
    )
