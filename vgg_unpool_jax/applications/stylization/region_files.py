"""Masks from files: pictures whose colours are labels, and folders of soft layers.

A mask is one of these:

- a picture in which every region has a colour of its own; any colours, any number of
  them, any mode of Pillow. `region_colours` has the rule that separates labels from
  colours that a program has added at the borders;
- a picture of label numbers: 8, 16 or 32 bits of grey;
- a folder of grey pictures, one per region and named after it, white inside the region,
  black outside, grey where it covers a part.

The pixels are taken as they are stored, apart from the EXIF orientation: no colour
profile is applied. Pixels of less than half opacity are a region, "transparent";
elsewhere transparency is ignored. Only the first frame of an animation is read. A
region is named after its colour, "#800000", or its number, "3"; equal names of content
and style belong together.
"""

import contextlib
import dataclasses
import io
import os
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vgg_unpool_jax.applications.stylization.region_colours import (
    TOLERANCE,
    Separated,
    join,
    nearest_where,
    separate,
)
from vgg_unpool_jax.applications.stylization.regions import Regions, soft_regions
from vgg_unpool_jax.data.decode import decode_photo, shown_name
from vgg_unpool_jax.data.formats import (
    PHOTO_SUFFIXES,
    PILLOW_FORMATS,
    format_names,
)
from vgg_unpool_jax.errors import MaskError, first_line
from vgg_unpool_jax.io import paths

TRANSPARENT = "transparent"
_LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF", "HEIF")
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

    @property
    def is_grey(self) -> bool:
        """Whether it has one channel."""
        return self.pixels.shape[2] == 1

    def as_colours(self, other: "_Mask") -> "_Mask":
        """A grey mask as colours, for comparison with those of another mask."""
        if self.pixels.max() > 255:
            raise MaskError(
                f"mask {self.name} has label numbers up to {self.pixels.max()} and "
                f"mask {other.name} has colours: nothing says which belong together, "
                f"so save both in the same mode"
            )
        return dataclasses.replace(self, pixels=self.pixels.repeat(3, axis=2))

    def separate(self) -> Separated:
        """The labels of its colours."""
        hidden, pixels = self.transparent, self.pixels
        if hidden.all():
            pixels = np.zeros_like(pixels)
        else:
            # The colours of transparent pixels are arbitrary; the nearest visible
            # pixel's adds none.
            pixels = nearest_where(hidden, pixels)
        found = separate(pixels, lossless=self.lossless)
        if found is None:
            raise MaskError(
                f"{self.name} is no mask: it has many colours and no few of them cover "
                f"it; paint every region in one colour"
            )
        return found

    def regions(self, found: Separated, with_transparent: bool) -> Regions:
        """Regions named after their colours."""
        if self.is_grey:
            names = [str(int(number)) for (number,) in found.colours]
        else:
            names = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in found.colours]
        labels = found.labels
        if with_transparent:
            labels = np.where(self.transparent, len(names), labels)
            names.append(TRANSPARENT)
        return Regions(names, labels=labels)


def read_regions(path: PathLike) -> Regions:
    """Read one mask.

    Args:
      path: a picture, or a folder of layers as `soft_regions` takes them: one picture
        per region, named after it, without further pictures. Local or gs://.

    Returns:
      Hard regions of a picture, soft ones of a folder.
    """
    if paths.to_path(path).is_dir():
        return _read_layers(path)
    mask = _read_mask(path)
    return mask.regions(mask.separate(), bool(mask.transparent.any()))


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
    if any(paths.to_path(path).is_dir() for path in (content_path, style_path)):
        return read_regions(content_path), read_regions(style_path)
    first, second = _read_mask(content_path), _read_mask(style_path)
    if first.is_grey and not second.is_grey:
        first = first.as_colours(second)
    elif second.is_grey and not first.is_grey:
        second = second.as_colours(first)
    _, *found = join(first.separate(), second.separate())
    transparent = bool(first.transparent.any() or second.transparent.any())
    return tuple(
        mask.regions(separated, transparent)
        for mask, separated in zip((first, second), found, strict=True)
    )


def _read_mask(path: PathLike) -> _Mask:
    name = shown_name(os.fspath(path))
    try:
        data = paths.read_bytes(paths.to_path(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise MaskError(f"mask {name} cannot be read: {reason}") from error
    image = _open(data, name)
    lossless = image.format not in _LOSSY
    if image.format == "WEBP":
        lossless = b"VP8L" in data[:64]
    # A damaged EXIF block means no orientation, as for photos.
    with contextlib.suppress(Exception):
        image = ImageOps.exif_transpose(image)
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
    try:
        with warnings.catch_warnings():
            # Large masks are fine; Pillow refuses those that are twice as large.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=PILLOW_FORMATS)
            image.load()
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise MaskError(
            f"mask {name} is empty or not an image in a known format ({format_names()})"
        ) from error
    except Exception as error:
        # Damaged bytes make Pillow's readers raise nearly anything.
        reason = first_line(error)
        raise MaskError(f"mask {name} is damaged or too large: {reason}") from error
    return image


def _numbers(image: Image.Image, name: str) -> np.ndarray:
    values = np.asarray(image)
    whole = values.astype(np.int64)
    if not ((whole == values) & (whole >= 0) & (whole <= _LARGEST_NUMBER)).all():
        raise MaskError(
            f"mask {name} holds values from {values.min()} to {values.max()}: labels "
            f"are whole numbers from 0 to {_LARGEST_NUMBER}"
        )
    return whole[..., None]


def _read_layers(folder: PathLike) -> Regions:
    files = sorted(
        file
        for file in paths.to_path(folder).iterdir()
        if file.suffix.lower() in PHOTO_SUFFIXES and not file.name.startswith(".")
    )
    shown = shown_name(os.fspath(folder))
    if not files:
        raise MaskError(
            f"{shown} holds no layers: a folder of soft masks has one grey picture per "
            f"region, such as sky.png"
        )
    layers = [_read_layer(file) for file in files]
    for file, layer in zip(files, layers, strict=True):
        if layer.shape != layers[0].shape:
            raise MaskError(
                f"the layers of {shown} have different sizes: {files[0].name} is "
                f"{layers[0].shape[1]}×{layers[0].shape[0]} and {file.name} "
                f"{layer.shape[1]}×{layer.shape[0]}"
            )
    names = [file.stem for file in files]
    if len(set(names)) < len(names):
        raise MaskError(f"the layers of {shown} need different names, got {names}")
    return soft_regions(layers, names)


def _read_layer(file) -> np.ndarray:
    pixels = decode_photo(file, str(file))
    # Lossy formats leave a little colour.
    if int(np.ptp(pixels.astype(np.int16), axis=2).max()) > TOLERANCE:
        raise MaskError(
            f"layer {shown_name(str(file))} has colours: layers of soft masks are "
            f"grey, one picture per region (for one picture of colours name the file, "
            f"not its folder)"
        )
    return pixels[..., 1].astype(np.float32) / 255
