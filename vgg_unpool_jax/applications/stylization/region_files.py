"""Masks from files: pictures whose colours are labels, and folders of soft layers.

What a mask may be:

- a picture in which every region has a colour of its own; any colours, any number of
  them, any mode of Pillow. `region_colours` says which colours are labels where a
  program has added others at the borders;
- a picture of label numbers: 8, 16 or 32 bits of grey;
- a folder of grey pictures, one a region and named after it, white where the region is,
  black where it is not, grey where it is in part.

The pixels are taken as they are stored, apart from the EXIF orientation: no colour
profile is applied. What is more transparent than opaque is a region, "transparent",
and elsewhere transparency is ignored. Of an animation the first frame counts. A region
is named after its colour, "#800000", or its number, "3"; equal names of content and
style belong together.
"""

import dataclasses
import io
import os
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vgg_unpool_jax.applications.stylization import region_colours
from vgg_unpool_jax.applications.stylization.regions import Regions, soft_regions
from vgg_unpool_jax.data.decode import decode_photo, shown_name
from vgg_unpool_jax.errors import PhotoError, UserError
from vgg_unpool_jax.io import paths

TRANSPARENT = "transparent"
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "PPM")
_LAYER_EXTENSIONS = (".png", ".bmp", ".tif", ".tiff", ".pgm", ".gif", ".jpg", ".jpeg")
_LOSSY = ("JPEG", "MPO", "WEBP")
# The value of pixels that no colour has; masks of numbers are refused above it.
_LARGEST_NUMBER = 2**31 - 1

PathLike = str | os.PathLike


@dataclasses.dataclass(frozen=True)
class _Mask:
    """A mask as read.

    Attributes:
      name: for messages.
      pixels: (h, w, 1) grey or (h, w, 3) colours; uint8, or int64 for numbers.
      transparent: (h, w) bool.
      lossless: whether the file's format keeps colours.
    """

    name: str
    pixels: np.ndarray
    transparent: np.ndarray
    lossless: bool

    def is_grey(self) -> bool:
        return self.pixels.shape[2] == 1

    def coloured(self, other: "_Mask") -> "_Mask":
        """The mask in the colours of a picture viewer."""
        if not self.is_grey():
            return self
        if self.pixels.max() > 255:
            raise UserError(
                f"mask {self.name} has label numbers up to {self.pixels.max()} and "
                f"mask {other.name} has colours: nothing says which belong together, "
                f"so save both in the same mode"
            )
        return dataclasses.replace(self, pixels=self.pixels.repeat(3, axis=2))


def read_regions(path: PathLike) -> Regions:
    """Read one mask.

    Args:
      path: a picture, or a folder of layers as `soft_regions` takes them: one picture
        a region, named after it, without further pictures. Local or gs://.

    Returns:
      Hard regions of a picture, soft ones of a folder.
    """
    if paths.to_path(path).is_dir():
        return _read_layers(path)
    mask = _read_mask(path)
    return _named(mask, *_separated(mask))


def read_region_pair(
    content_path: PathLike, style_path: PathLike
) -> tuple[Regions, Regions]:
    """Read the masks of a content and of a style photo.

    Both have the same names where both are pictures: the labels of either, which may
    have no pixel in the other. Colours that a lossy format has changed a little on one
    side are those of the other side.

    Args:
      content_path: as for `read_regions`.
      style_path: as for `read_regions`.

    Returns:
      The regions of content and style, each of its own size.
    """
    paths = content_path, style_path
    if any(paths.to_path(path).is_dir() for path in paths):
        return read_regions(content_path), read_regions(style_path)
    first, second = _read_mask(content_path), _read_mask(style_path)
    if first.is_grey() != second.is_grey():
        first, second = first.coloured(second), second.coloured(first)
    (one, hidden_one), (other, hidden_other) = _separated(first), _separated(second)
    _, one, other = region_colours.join(one, other)
    transparent = hidden_one.any() or hidden_other.any()
    return (
        _named(first, one, hidden_one, transparent),
        _named(second, other, hidden_other, transparent),
    )


def _separated(mask: _Mask) -> tuple[region_colours.Separated, np.ndarray]:
    """The labels of a mask, and which pixels are transparent."""
    hidden = mask.transparent
    pixels = mask.pixels
    if hidden.any() and not hidden.all():
        # What colour is stored there means nothing: that of the nearest pixel that is
        # seen adds none.
        pixels = region_colours.nearest_where(hidden, pixels)
    elif hidden.all():
        pixels = np.zeros_like(pixels)
    try:
        return region_colours.separate(pixels, lossless=mask.lossless), hidden
    except region_colours.NoMaskError as error:
        raise UserError(
            f"{mask.name} is no mask: {error}; paint every region in one colour"
        ) from error


def _named(
    mask: _Mask,
    found: region_colours.Separated,
    hidden: np.ndarray,
    transparent: bool | None = None,
) -> Regions:
    if mask.is_grey():
        names = [str(int(number)) for (number,) in found.colours]
    else:
        names = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in found.colours]
    labels = found.labels
    if hidden.any() if transparent is None else transparent:
        labels = np.where(hidden, len(names), labels)
        names.append(TRANSPARENT)
    return Regions(names, labels=labels)


def _read_mask(path: PathLike) -> _Mask:
    name = shown_name(os.fspath(path))
    try:
        data = paths.read_bytes(paths.to_path(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"mask {name} cannot be read: {reason}") from error
    image = _open(data, name)
    lossless = image.format not in _LOSSY
    if image.format == "WEBP":
        lossless = b"VP8L" in data[:64]
    image = _upright(image)
    hidden = np.zeros((image.height, image.width), bool)
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA")
        hidden = np.asarray(image.getchannel("A")) < 128
        image = image.convert("L" if image.mode == "LA" else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _Mask(name, _numbers(image, name), hidden, lossless)
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return _Mask(name, pixels.reshape(*hidden.shape, -1), hidden, lossless)


def _open(data: bytes, name: str) -> Image.Image:
    if not data:
        raise UserError(f"mask {name} is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            # Large masks are fine; Pillow refuses those that are twice as large.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            image.load()
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(
            f"mask {name} is not an image in a known format "
            f"(PNG, BMP, TIFF, GIF, WebP, PPM or JPEG)"
        ) from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"mask {name} has too many pixels: more than {2 * Image.MAX_IMAGE_PIXELS} "
            f"(twice PIL.Image.MAX_IMAGE_PIXELS)"
        ) from error
    except Exception as error:
        # Damaged bytes make Pillow's readers raise nearly anything.
        raise UserError(f"mask {name} is damaged: {error}") from error
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The EXIF orientation applied, where there is one to be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # The pixels are whole: as for photos, a damaged EXIF block means none.
        return image


def _numbers(image: Image.Image, name: str) -> np.ndarray:
    values = np.asarray(image)
    if values.dtype.kind == "f" and not (values == np.floor(values)).all():
        raise UserError(f"mask {name} holds fractions: labels are whole numbers")
    low, high = values.min(), values.max()
    if low < 0 or high > _LARGEST_NUMBER:
        raise UserError(
            f"mask {name} holds values from {low} to {high}: labels are whole numbers "
            f"from 0 to {_LARGEST_NUMBER}"
        )
    return values.astype(np.int64)[..., None]


def _read_layers(folder: PathLike) -> Regions:
    files = sorted(
        file
        for file in paths.to_path(folder).iterdir()
        if file.suffix.lower() in _LAYER_EXTENSIONS and not file.name.startswith(".")
    )
    shown = shown_name(os.fspath(folder))
    if not files:
        raise UserError(
            f"{shown} holds no layers: a folder of soft masks has one grey picture a "
            f"region, such as sky.png"
        )
    layers = [_read_layer(file) for file in files]
    for file, layer in zip(files, layers, strict=True):
        if layer.shape != layers[0].shape:
            raise UserError(
                f"the layers of {shown} have different sizes: {files[0].name} is "
                f"{layers[0].shape[1]}×{layers[0].shape[0]} and {file.name} "
                f"{layer.shape[1]}×{layer.shape[0]}"
            )
    try:
        return soft_regions(layers, [file.stem for file in files])
    except ValueError as error:
        raise UserError(f"the layers of {shown} cannot be used: {error}") from error


def _read_layer(file) -> np.ndarray:
    name = str(file)
    try:
        pixels = decode_photo(file, name)
    except PhotoError as error:
        raise UserError(f"a layer cannot be read: {error}") from error
    # Lossy formats leave a little colour.
    if int(np.ptp(pixels.astype(np.int16), axis=2).max()) > region_colours.TOLERANCE:
        raise UserError(
            f"layer {shown_name(name)} has colours: layers of soft masks are grey, one "
            f"picture a region (for one picture of colours name the file, not its "
            f"folder)"
        )
    return pixels[..., 1].astype(np.float32) / 255
