"""Photos that came in from a browser: limits, and the size of a preview."""

import dataclasses
import pathlib

import numpy as np
from PIL import Image

from vgg_unpool_jax.applications.resizing import reduce_to_side
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.errors import PhotoError

# Longest side of a preview in pixels.
PREVIEW = 512
# Of an upload; both are checked before anything is decoded.
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 2**26


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """A photo of a session.

    Attributes:
      name: that it had on its owner's machine, without folders.
      path: of the file on this machine.
      height: in pixels, as a viewer would show it.
      width: in pixels.
      preview: uint8 (h, w, 3), no side above `PREVIEW`.
    """

    name: str
    path: pathlib.Path
    height: int
    width: int
    preview: np.ndarray

    def pixels(self, *, whole: bool) -> np.ndarray:
        """uint8 (h, w, 3) RGB: the whole photo, decoded again, or its preview."""
        return read_pixels(self.path, self.name) if whole else self.preview

    @property
    def is_whole(self) -> bool:
        """Whether the preview has the size of the photo."""
        return self.preview.shape[:2] == (self.height, self.width)


def read_photo(path: pathlib.Path, name: str) -> Photo:
    """Read an upload; `PhotoError` for one that is too large or no photo."""
    pixels = read_pixels(path, name)
    preview = to_uint8(reduce_to_side(pixels, PREVIEW))
    return Photo(name, path, *pixels.shape[:2], preview)


def read_pixels(path: pathlib.Path, name: str) -> np.ndarray:
    """uint8 (h, w, 3) RGB of an upload, see `read_photo`."""
    check_bytes(path, name)
    return decode_photo(path, name, max_pixels=MAX_PIXELS)


def check_bytes(path: pathlib.Path, name: str) -> None:
    """Refuse a file of more than `MAX_BYTES`."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise PhotoError(
            f"{name} has {size / 2**20:.0f} MiB, and the studio takes files of up to "
            f"{MAX_BYTES >> 20} MiB"
        )


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Rounded and clipped to [0, 255]."""
    if image.dtype == np.uint8:
        return image
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def save_shown(path: pathlib.Path, image: np.ndarray, side: int = 2048) -> None:
    """Write a picture for the page, without loss up to `side` pixels, else reduced."""
    shown = to_uint8(reduce_to_side(np.asarray(image), side))
    Image.fromarray(shown).save(path, compress_level=3)
