"""Pictures for people: grids of photos, error images, PNG and JPEG files.

Images are RGB in [0, 255], float of any size or uint8; values out of range are clipped
and fractions rounded. Results are uint8 unless their docstring says otherwise.
"""

import io
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vgg_unpool_jax.data.formats import FORMATS, is_built
from vgg_unpool_jax.errors import ConfigError, require_image, require_list
from vgg_unpool_jax.io.atomic import replacing

_BACKGROUND = 255
_INK = (0, 0, 0)
_LABEL_HEIGHT = 20
_LABEL_SIZES = range(14, 7, -1)
# Below the lowest, JPEG's blocks and ringing would look like errors of a decoder.
_JPEG_QUALITIES = range(92, 59, -4)


def _to_uint8(image: np.ndarray, name: str) -> np.ndarray:
    """Rounded and clipped to uint8; refuses NaN, which has no colour."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    image = image.astype(np.float32)
    if np.isnan(image).any():
        raise ValueError(f"{name} has NaN values; expected numbers in [0, 255].")
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def error_image(
    predictions: np.ndarray, targets: np.ndarray, gain: float = 8.0
) -> np.ndarray:
    """The absolute difference, amplified so that small errors can be seen.

    Args:
      predictions: images `(..., height, width, 3)` in [0, 255].
      targets: images of the same shape and range.
      gain: factor; with 8, a difference of 32 grey levels or more is white.

    Returns:
      Float32 of the same shape, |difference| · gain clipped to [0, 255].
    """
    predictions = np.asarray(predictions, np.float32)
    targets = np.asarray(targets, np.float32)
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions has shape {predictions.shape} and targets has shape "
            f"{targets.shape}; expected equal shapes."
        )
    return np.clip(np.abs(predictions - targets) * gain, 0, 255)


def _label(text: str, width: int, *, centered: bool = False) -> np.ndarray:
    """`text` as black on white, `(_LABEL_HEIGHT, width, 3)`.

    The text becomes smaller to fit the width; text that does not fit at the smallest
    size is cut off at the column's edge.
    """
    text = text.replace("×", "x")  # which the built-in font draws as an empty box
    picture = Image.new("RGB", (width, _LABEL_HEIGHT), (_BACKGROUND,) * 3)
    draw = ImageDraw.Draw(picture)
    for size in _LABEL_SIZES:
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            break
    left = max(0.0, width - draw.textlength(text, font=font)) / 2 if centered else 0
    draw.text((left, _LABEL_HEIGHT // 2), text, fill=_INK, font=font, anchor="lm")
    return np.asarray(picture)


def side_by_side(images: Sequence[np.ndarray], *, padding: int = 4) -> np.ndarray:
    """Images in one row.

    Args:
      images: at least one image `(height, width, 3)` in [0, 255], all of one height.
      padding: width in pixels of the white line between two images.

    Returns:
      uint8 `(height, sum of widths + padding between them, 3)`.
    """
    parts = []
    for i, image in enumerate(images):
        image = _to_uint8(image, f"images[{i}]")
        require_image(f"images[{i}]", image, 3)
        if parts:
            parts.append(np.full((len(image), padding, 3), _BACKGROUND, np.uint8))
        parts.append(image)
    return np.concatenate(parts, axis=1)


def picture_grid(
    columns: Mapping[str, np.ndarray],
    *,
    padding: int = 4,
    labels: bool = True,
    row_labels: Sequence[str] = (),
) -> np.ndarray:
    """A grid with one row per photo and one column per kind of picture, or transposed.

    Args:
      columns: `(n, height, width, 3)` in [0, 255] per title, all of one shape, from
        left to right; for instance input, reconstruction and error. Pillow's
        built-in font, which draws the titles, has few letters beyond ASCII.
      padding: white pixels around and between the pictures.
      labels: whether the titles are drawn above the columns.
      row_labels: n titles to the left of the rows, written upwards; empty
        for none.

    Returns:
      uint8 `(grid height, grid width, 3)`.
    """
    require_list("row_labels", row_labels)
    arrays = {name: np.asarray(images) for name, images in columns.items()}
    first = next(iter(arrays.values())).shape
    for name, images in arrays.items():
        require_image(f"columns[{name!r}]", images, 4)
        if images.shape != first:
            raise ValueError(
                f"columns[{name!r}] has shape {images.shape}; expected {first}, the "
                "shape of the first column."
            )
    count, height, width, _ = first
    if row_labels and len(row_labels) != count:
        raise ValueError(f"row_labels has {len(row_labels)} titles; expected {count}.")
    lines = [[images[i] for images in arrays.values()] for i in range(count)]
    if labels:
        lines.insert(0, [_label(name, width) for name in arrays])
    if row_labels:
        upwards = [np.rot90(_label(name, height, centered=True)) for name in row_labels]
        corner = [_label("", _LABEL_HEIGHT)] if labels else []
        for line, title in zip(lines, corner + upwards, strict=True):
            line.insert(0, title)
    rows = [side_by_side(line, padding=padding) for line in lines]
    gap = np.full((padding, rows[0].shape[1], 3), _BACKGROUND, np.uint8)
    stacked = [part for row in rows for part in (row, gap)][:-1]
    margin = ((padding, padding), (padding, padding), (0, 0))
    return np.pad(np.concatenate(stacked), margin, constant_values=_BACKGROUND)


def titled_sheet(pictures: Mapping[str, np.ndarray], *, padding: int = 4) -> np.ndarray:
    """Pictures of one size in rows, about as many as columns, with names above them.

    Args:
      pictures: (h, w, 3) in [0, 255] by name, one or more.
      padding: white pixels around and between the pictures.

    Returns:
      uint8 `(sheet height, sheet width, 3)`.
    """
    cells = [
        np.concatenate([_label(name, picture.shape[1]), _require_picture(picture)])
        for name, picture in pictures.items()
    ]
    columns = math.ceil(math.sqrt(len(cells)))
    cells += [np.full_like(cells[0], _BACKGROUND)] * (-len(cells) % columns)
    margin = ((padding, 0), (padding, padding), (0, 0))
    rows = [
        np.pad(
            side_by_side(cells[start:][:columns], padding=padding),
            margin,
            constant_values=_BACKGROUND,
        )
        for start in range(0, len(cells), columns)
    ]
    return np.concatenate(rows)


def contact_sheet(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    *,
    titles: Mapping[tuple[str, str], str],
    height: int = 260,
    padding: int = 4,
) -> np.ndarray:
    """Pictures of any size, reduced or enlarged to one height, with captions.

    Args:
      rows: {row: {column: (h, w, 3) in [0, 255]}}, one or more, from left to right.
        Where a row lacks a column, its cell stays white.
      titles: caption by row and column; the column's name where there is none.
      height: of the pictures in pixels.
      padding: white pixels around and between the pictures.

    Returns:
      uint8 `(sheet height, sheet width, 3)`.
    """
    cells = {}
    for row, pictures in rows.items():
        for column, picture in pictures.items():
            image = Image.fromarray(_require_picture(picture))
            width = max(1, round(height * image.width / image.height))
            image = image.resize((width, height), Image.Resampling.LANCZOS)
            caption = _label(f"{row}  {titles.get((row, column), column)}", width)
            cells[row, column] = np.concatenate([caption, np.asarray(image)])
    columns = list(dict.fromkeys(column for _, column in cells))
    widths = [max(cells[k].shape[1] for k in cells if k[1] == c) for c in columns]
    step = height + _LABEL_HEIGHT + padding
    size = len(rows) * step + padding, sum(widths) + padding * (len(columns) + 1)
    sheet = np.full((*size, 3), _BACKGROUND, np.uint8)
    left = padding
    for column, width in zip(columns, widths, strict=True):
        for i, row in enumerate(rows):
            cell = cells.get((row, column), sheet[:0, :0])
            top = padding + i * step
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        left += width + padding
    return sheet


def enlarge(images: np.ndarray, scale: int) -> np.ndarray:
    """Images with every pixel repeated, so that small ones can be seen on a screen.

    Args:
      images: `(..., height, width, 3)`.
      scale: how often along each side, a whole number of at least 1.

    Returns:
      `(..., height * scale, width * scale, 3)` of the same dtype.
    """
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale is {scale!r}; expected a whole number of at least 1.")
    images = np.asarray(images)
    return images.repeat(int(scale), axis=-3).repeat(int(scale), axis=-2)


def strip(images: np.ndarray, *, scale: int = 1, padding: int = 2) -> np.ndarray:
    """Images of one shape in one row, for instance the steps of an interpolation.

    Args:
      images: `(n, height, width, 3)` in [0, 255], at least one.
      scale: how often each pixel is repeated along each side.
      padding: white pixels between two images.

    Returns:
      uint8 `(height * scale, n * (width * scale + padding) - padding, 3)`.
    """
    require_image("images", images := np.asarray(images), 4)
    images = enlarge(_to_uint8(images, "images"), scale)
    return side_by_side(list(images), padding=padding)


def square_grid(images: np.ndarray, *, scale: int = 1, padding: int = 2) -> np.ndarray:
    """Images row by row, in as many columns as rows or one more.

    Args:
      images: `(n, height, width, 3)` in [0, 255], at least one.
      scale: how often each pixel is repeated along each side.
      padding: white pixels around and between the images.

    Returns:
      uint8 `(grid height, grid width, 3)`; places for which there is no image are
      white.
    """
    require_image("images", images := np.asarray(images), 4)
    images = enlarge(_to_uint8(images, "images"), scale)
    count, height, width, _ = images.shape
    columns = math.isqrt(count - 1) + 1
    rows = math.ceil(count / columns)
    shape = (rows * (height + padding) + padding, columns * (width + padding) + padding)
    grid = np.full((*shape, 3), _BACKGROUND, np.uint8)
    for i, image in enumerate(images):
        top = padding + i // columns * (height + padding)
        left = padding + i % columns * (width + padding)
        grid[top : top + height, left : left + width] = image
    return grid


def save_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write a PNG file, aside first and then renamed.

    Args:
      path: the file; missing parent folders are made, a file there is replaced.
      image: `(height, width, 3)` in [0, 255], uint8 or float.
    """
    image = _require_picture(image)
    with replacing(path) as file:
        Image.fromarray(image).save(file, format="PNG")


def save_jpeg(
    path: str | os.PathLike, image: np.ndarray, *, max_bytes: int = 1_500_000
) -> None:
    """Write a JPEG file of high quality, aside first and then renamed.

    Args:
      path: the file; missing parent folders are made, a file there is replaced.
      image: `(height, width, 3)` in [0, 255], uint8 or float.
      max_bytes: a larger file is written with a lower quality, from 92 down to 60,
        where it is written whatever its size.
    """
    picture = Image.fromarray(_require_picture(image))
    for quality in _JPEG_QUALITIES:
        file = io.BytesIO()
        # Colour is not subsampled, which would smooth error images.
        # Without `optimize`, with which Pillow fails on pictures as rough as errors.
        picture.save(file, "JPEG", quality=quality, subsampling=0)
        if file.tell() <= max_bytes:
            break
    with replacing(path) as final:
        final.write(file.getvalue())


# Pillow's options for the pictures that `save_photo` writes, given a quality, and the
# longest side of the format in pixels.
_SAVED = {
    "JPEG": (lambda quality: {"quality": quality, "subsampling": 0}, 65535),
    "PNG": (lambda quality: {}, 2**31 - 1),
    "WEBP": (lambda quality: {"quality": quality, "method": 4}, 16383),
    "TIFF": (lambda quality: {"compression": "tiff_adobe_deflate"}, 2**31 - 1),
    "AVIF": (lambda quality: {"quality": quality, "subsampling": "4:4:4"}, 65535),
}
# Some builds of Pillow have no AVIF.
_PHOTO_FORMATS = {
    suffix: name
    for suffix, name in FORMATS.items()
    if name in _SAVED and is_built(name)
}
PHOTO_SUFFIXES = tuple(_PHOTO_FORMATS)
LOSSLESS_SUFFIXES = tuple(
    suffix for suffix, name in _PHOTO_FORMATS.items() if name in ("PNG", "TIFF")
)


def check_photo_name(path: str | os.PathLike) -> None:
    """Raise `ConfigError` unless `save_photo` can write a file of this name."""
    if os.path.splitext(os.fspath(path))[1].lower() not in PHOTO_SUFFIXES:
        raise ConfigError(
            f"{path} cannot be written: its name must end in one of "
            f"{', '.join(PHOTO_SUFFIXES)}"
        )


def save_photo(
    path: str | os.PathLike, image: np.ndarray, *, quality: int = 95
) -> None:
    """Write a photo in the format of its name, to a temporary file that is renamed.

    Args:
      path: the file, ending in one of `PHOTO_SUFFIXES`; missing parent folders are
        made, a file there is replaced.
      image: `(height, width, 3)` in [0, 255], uint8 or float.
      quality: of JPEG, WebP and AVIF, 1 to 100; PNG and TIFF keep every value.
    """
    check_photo_name(path)
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100, got {quality}")
    name = _PHOTO_FORMATS[os.path.splitext(os.fspath(path))[1].lower()]
    options, longest = _SAVED[name]
    picture = Image.fromarray(_require_picture(image))
    if max(picture.size) > longest:
        raise ConfigError(
            f"{path} cannot hold {picture.width}×{picture.height} pixels: {name} has "
            f"at most {longest} a side, take .png or .tif"
        )
    file = io.BytesIO()
    picture.save(file, name, **options(quality))
    with replacing(path) as final:
        final.write(file.getvalue())


def _require_picture(image: np.ndarray) -> np.ndarray:
    image = _to_uint8(image, "image")
    require_image("image", image, 3)
    return image
