"""Encoded photo -> uint8 RGB pixels, as a picture viewer would show them.

Every photo becomes an array of shape (H, W, 3), RGB, uint8, sRGB:

- the EXIF orientation is applied;
- an embedded ICC profile that is not sRGB is converted to sRGB;
- transparent pixels (alpha channel, transparent palette entry or key colour) are
  composited over white;
- 16-bit samples keep their high byte, so that bright values are not clipped;
- an animation is reduced to its first frame.
"""

import functools
import io
import logging
import os
import re
import struct
import threading
import unicodedata
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from vgg_unpool_jax.data.formats import PILLOW_FORMATS, format_names
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.io.paths import read_bytes

try:
    import simplejpeg
except ModuleNotFoundError:  # only slower
    simplejpeg = None

_LOG = logging.getLogger(__name__)

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Raised by Pillow for a damaged EXIF block.
_EXIF_ERRORS = (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error)

_WARNING_FILTERS = [
    ("ignore", None, category, re.compile(r"PIL\."), 0)
    for category in (UserWarning, Image.DecompressionBombWarning)
]
_warnings_lock = threading.Lock()


def decode_photo(
    file_or_bytes: bytes | str | os.PathLike | BinaryIO,
    name: str,
    *,
    tell_alpha: bool = False,
    max_pixels: int | None = None,
) -> np.ndarray:
    """Decode one photo to RGB pixels as a viewer would show them.

    Args:
      file_or_bytes: the encoded photo, in a format of `formats.FORMATS`: its bytes, its
        path (local or gs://) or an open binary file.
      name: of the photo, for error messages.
      tell_alpha: log once that transparent pixels of this photo are shown on white.
      max_pixels: refuse a photo with more of them before any is decoded.

    Returns:
      A uint8 array of shape (H, W, 3), RGB in [0, 255], which may be read-only.

    Raises:
      PhotoError: the photo is missing, empty, truncated, in no known format, larger
        than twice `PIL.Image.MAX_IMAGE_PIXELS`, or holds values without a defined
        brightness.
    """
    name = shown_name(str(name))
    data = _read_bytes(file_or_bytes, name)
    if not data:
        raise PhotoError(f"photo {name} is empty (0 bytes)")
    _quieten_pillow()
    try:
        image = Image.open(io.BytesIO(data), formats=PILLOW_FORMATS)
        _check_pixels(image, name, max_pixels)
        pixels = _decode_plain_jpeg(image, data)
        if pixels is not None:
            return pixels
        image.load()
    except (MemoryError, PhotoError):
        raise  # the first is a problem of the machine, not of the photo
    # Damaged bytes make Pillow's readers raise nearly anything: OSError, SyntaxError,
    # struct.error, EOFError, IndexError, zlib.error ...
    except Exception as error:
        raise PhotoError(f"photo {name} {_problem(error)}") from error
    transposition = _TRANSPOSITIONS.get(_orientation(image))
    rgb = _to_rgb(image, name, tell_alpha)
    if transposition is not None:
        rgb = rgb.transpose(transposition)
    # Read-only; a copy would take a sixth of the whole time.
    return np.asarray(rgb)


def shown_name(name: str) -> str:
    """A photo's name on one line: control characters and stray bytes are escaped.

    Args:
      name: of any file. A name that is not UTF-8 contains surrogates in Python, which
        cannot be written to a log or result file.
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) == "Cc" else letter
        for letter in text
    )


def _read_bytes(file_or_bytes, name: str) -> bytes:
    if isinstance(file_or_bytes, bytes | bytearray | memoryview):
        return bytes(file_or_bytes)
    try:
        if hasattr(file_or_bytes, "read"):
            return file_or_bytes.read()
        return read_bytes(file_or_bytes)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PhotoError(f"photo {name} cannot be read: {reason}") from error


def _decode_plain_jpeg(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Pixels of a JPEG that needs no rotation or colour conversion; None for others.

    It is decoded by the library that Pillow uses, directly into an array: the same
    pixels in two thirds of the time, most of it without Python's lock.
    """
    if (
        simplejpeg is None
        or image.format != "JPEG"
        or image.mode != "RGB"
        or "transparency" in image.info
        or _orientation(image) in _TRANSPOSITIONS
    ):
        return None
    profile = image.info.get("icc_profile")
    if profile and _icc_transform(profile, "RGB") is not None:
        return None
    try:
        return simplejpeg.decode_jpeg(
            data, "RGB", fastdct=False, fastupsample=False, strict=True
        )
    except ValueError:
        return None  # damaged or unusual: Pillow decides


def _check_pixels(image: Image.Image, name: str, limit: int | None) -> None:
    if limit is not None and image.width * image.height > limit:
        raise PhotoError(
            f"photo {name} has {image.width}×{image.height} pixels, and at most "
            f"{limit:,} are taken"
        )


def _problem(error: Exception) -> str:
    """The part of a message after the photo's name, for an error of Pillow."""
    if isinstance(error, UnidentifiedImageError):
        return f"is not an image in a known format ({format_names()})"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"has too many pixels: more than {2 * Image.MAX_IMAGE_PIXELS} (twice "
            "PIL.Image.MAX_IMAGE_PIXELS)"
        )
    return f"is damaged: {error}"


def _quieten_pillow() -> None:
    """Ignore Pillow's warnings about the content of photos.

    Pillow warns above MAX_IMAGE_PIXELS and raises above twice that number, which is the
    limit here. `warnings.catch_warnings` would restore the filters afterwards, but it
    is not safe in threads, and photos are decoded in threads.
    """
    with _warnings_lock:
        if warnings.filters[: len(_WARNING_FILTERS)] != _WARNING_FILTERS:
            for action, _, category, module, _ in reversed(_WARNING_FILTERS):
                warnings.filterwarnings(
                    action, category=category, module=module.pattern
                )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 (as stored) where the EXIF block is unreadable."""
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except _EXIF_ERRORS:
        # The pixels are intact, and a viewer shows them as they are stored.
        return 1


def _to_rgb(image: Image.Image, name: str, tell_alpha: bool) -> Image.Image:
    """Any mode of Pillow -> mode RGB in sRGB, transparency composited over white."""
    # Conversions drop the profile in some modes.
    profile = image.info.get("icc_profile")
    alpha = None
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bit_grey(image, name)
    elif _has_transparency(image):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        try:
            image = image.convert("RGB")
        except ValueError as error:
            raise PhotoError(
                f"photo {name} has the colour mode {image.mode}, which cannot be "
                f"converted to RGB"
            ) from error

    if image.mode in ("LA", "RGBA"):
        alpha = image.getchannel("A")
        image = image.getchannel("L") if image.mode == "LA" else image.convert("RGB")
    colours = _to_srgb(image, profile)
    if alpha is None:
        return colours
    if tell_alpha and alpha.getextrema()[0] < 255:
        _tell_alpha(name)
    white = Image.new("RGB", colours.size, (255, 255, 255))
    return Image.composite(colours, white, alpha)


@functools.lru_cache(maxsize=4096)
def _tell_alpha(name: str) -> None:
    _LOG.warning("%s has transparent pixels: they are shown on white", name)


def _has_transparency(image: Image.Image) -> bool:
    """Whether alpha hides in a palette, a key colour or premultiplied channels."""
    return image.mode in ("PA", "La", "RGBa") or "transparency" in image.info


def _to_8_bit_grey(image: Image.Image, name: str) -> Image.Image:
    """16-bit, 32-bit and float grey -> mode L, scaled and not clipped."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise PhotoError(
                f"photo {name} holds float values from {low:g} to {high:g}; "
                f"only 0 to 1 has a defined brightness"
            )
        return Image.fromarray(np.round(values * 255).astype(np.uint8))
    if low < 0 or high > 65535:
        raise PhotoError(
            f"photo {name} holds integer values from {low} to {high}; "
            f"only 0 to 65535 has a defined brightness"
        )
    # The high byte, as Pillow does for 16-bit RGB, so that a grey photo and the same
    # photo in RGB give equal pixels.
    return Image.fromarray((values >> 8).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Mode L, RGB or CMYK -> RGB, through the embedded ICC profile where it applies."""
    transform = _icc_transform(profile, image.mode) if profile else None
    if transform is None and image.mode == "L" and profile:
        # A grey photo with a colour profile is a colour photo without saturation.
        image = image.convert("RGB")
        transform = _icc_transform(profile, "RGB")
    if transform is not None:
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


@functools.lru_cache(maxsize=64)
def _icc_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Conversion of `mode` to sRGB, or None where a viewer would ignore the profile.

    That is the case for a profile that already is sRGB, one that belongs to another
    kind of image (a CMYK profile in an RGB photo), and one that cannot be parsed.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if (source.profile.profile_description or "").startswith("sRGB"):
            return None
        # Little CMS' shortcut for grey is off by up to ten levels in the shadows.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        return ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags
        )
    except (ImageCms.PyCMSError, OSError):
        return None
