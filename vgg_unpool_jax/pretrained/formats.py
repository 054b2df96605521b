"""Tells the kinds of weight files apart by what is in them."""

import enum
import os
import pathlib
import stat
import zipfile

from vgg_unpool_jax.errors import WeightsError, first_line


class Format(enum.Enum):
    """Kinds of files that can be read."""

    KERAS_H5 = "Keras HDF5"
    TORCH_ZIP = "PyTorch"
    TORCH_LEGACY = "PyTorch before 1.6"
    SAFETENSORS = "safetensors"


_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\x03\x04"
# PyTorch's number 0x1950a86a20f9469cfc6c as pickle's LONG1: ten bytes, lowest first.
_TORCH_LEGACY_NUMBER = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
# The format limits a safetensors header to 100 MB.
_SAFETENSORS_HEADER_LIMIT = 100_000_000
_WANTED = "wanted a Keras .h5, a PyTorch .pth or a .safetensors file"


def recognise(path: pathlib.Path) -> Format:
    """Tell what kind of weight file this is.

    Args:
        path: the file.

    Returns:
        Its kind, by its first bytes; the name plays no part.
    """
    head = _first_bytes(path)
    if not head:
        raise WeightsError(f"{path} is empty (0 bytes), {_WANTED}")
    if head.startswith(_HDF5_MAGIC):
        return Format.KERAS_H5
    if head.startswith(_ZIP_MAGIC):
        return _recognise_zip(path)
    if head[:1] == b"\x80" and head[2:].startswith(_TORCH_LEGACY_NUMBER):
        return Format.TORCH_LEGACY
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header <= _SAFETENSORS_HEADER_LIMIT:
        return Format.SAFETENSORS
    if is_web_page(head):
        raise WeightsError(
            f"{path} is a web page (HTML) that was saved in place of the weights, "
            "download the file itself"
        )
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path} is a Git LFS pointer, fetch the file itself with `git lfs pull`"
        )
    raise WeightsError(
        f"{path} is no weight file that can be read, it begins with {head[:8]!r}: "
        f"{_WANTED}"
    )


def is_web_page(head: bytes) -> bool:
    """Whether a file that begins with these bytes is HTML."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith(b"<") and (b"<html" in text or b"<!doctype html" in text)


def _first_bytes(path: pathlib.Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise WeightsError(f"{path} is a folder, {_WANTED}")
        # A pipe or a device would make the readers wait or read without end.
        if not stat.S_ISREG(mode):
            raise WeightsError(f"{path} is not a regular file, {_WANTED}")
        with open(path, "rb") as file:
            return file.read(1024)
    except FileNotFoundError as error:
        raise WeightsError(f"there is no weight file at {path}") from error
    # ValueError: a path with a null character.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise WeightsError(f"{str(path)!r} cannot be read ({reason})") from error


def _recognise_zip(path: os.PathLike) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    # zipfile answers damage with BadZipFile, and also with ValueError, struct.error,
    # NotImplementedError or UnicodeDecodeError.
    except Exception as error:
        raise WeightsError(
            f"{path} begins like a PyTorch file (a zip archive) but is damaged or "
            f"incomplete ({first_line(error)})"
        ) from error
    if "model.weights.h5" in names:
        raise WeightsError(
            f"{path} is a .keras archive, unzip it and name the model.weights.h5 in it"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise WeightsError(
            f"{path} is a zip archive but no PyTorch file (it has no data.pkl), "
            f"{_WANTED}"
        )
    return Format.TORCH_ZIP
