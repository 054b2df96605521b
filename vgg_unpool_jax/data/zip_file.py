"""Photos inside a zip file, read without unpacking it."""

import logging
import os
import threading
import zipfile
import zlib

import numpy as np

from vgg_unpool_jax.data import decode, folder
from vgg_unpool_jax.data.decode import shown_name
from vgg_unpool_jax.data.formats import PHOTO_SUFFIXES, is_unreadable, left_out
from vgg_unpool_jax.errors import PhotoError, SourceError, first_line
from vgg_unpool_jax.io import paths

_LOG = logging.getLogger(__name__)

# A photo that claims to be larger than this when unpacked is not unpacked.
_LARGEST_PHOTO_BYTES = 1 << 30

_ENCRYPTED_BIT = 0x1

# Raised for one damaged member: a wrong checksum, broken or cut-off compressed data, a
# compression method that Python does not know.
_MEMBER_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


class ZipSource:
    """The photos of a zip file, sorted by their path inside it.

    Only names are kept; the file is opened again in every process that reads from it,
    and threads take turns in reading, not in decoding.

    Args:
      path: the zip file, on this machine.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = os.path.abspath(paths.local_path(path))
        self._forget_open_file()
        with _open_zip(self._path) as archive:
            files = [member for member in archive.infolist() if not member.is_dir()]
        members = [m for m in files if folder.is_photo_name(m.filename)]
        others = left_out(m.filename for m in files if is_unreadable(m.filename))
        locked = [member for member in members if member.flag_bits & _ENCRYPTED_BIT]
        if locked:
            raise SourceError(
                f"{len(locked)} of the {len(members)} photos in the zip file "
                f"{self._path} are encrypted (the first is {locked[0].filename}); "
                f"encrypted zip files are not supported"
            )
        # A set, because a zip file may hold a name twice; the last one counts.
        self._names = sorted({member.filename for member in members})
        if not self._names:
            raise SourceError(
                f"the zip file {self._path} holds no photo "
                f"({', '.join(PHOTO_SUFFIXES)})" + (f", but {others}" if others else "")
            )
        if others:
            _LOG.warning("%s: left out are %s", self._path, others)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3) RGB; raises PhotoError when unreadable."""
        name = self._names[index]
        return decode.decode_photo(self._read(name), name)

    @property
    def files(self) -> list[str]:
        """The zip file."""
        return [self._path]

    def name(self, index: int) -> str:
        """Path of photo `index` inside the zip file."""
        return self._names[index]

    def label(self, index: int) -> str | None:
        """Name of the folder directly above photo `index`, None at the top."""
        return folder.folder_label(self._names[index])

    def __repr__(self) -> str:
        return f"zip file {self._path}"

    def __getstate__(self) -> dict:
        return {"path": self._path, "names": self._names}

    def __setstate__(self, state: dict) -> None:
        self._path = state["path"]
        self._names = state["names"]
        self._forget_open_file()

    def _forget_open_file(self) -> None:
        self._lock = threading.Lock()
        self._archive = None
        self._archive_process = None

    def _read(self, name: str) -> bytes:
        shown = shown_name(name)
        with self._lock:
            if self._archive is None or self._archive_process != os.getpid():
                # A forked process must not share the file offset with its parent.
                self._archive = _open_zip(self._path)
                self._archive_process = os.getpid()
            try:
                member = self._archive.getinfo(name)
                if member.file_size > _LARGEST_PHOTO_BYTES:
                    raise PhotoError(
                        f"photo {shown} would take {member.file_size} bytes unpacked; "
                        f"the limit is {_LARGEST_PHOTO_BYTES}"
                    )
                return self._archive.read(member)
            except (KeyError, OSError, *_MEMBER_ERRORS) as error:
                raise PhotoError(
                    f"photo {shown} in the zip file {self._path} cannot be read: "
                    f"{_reason(error)}"
                ) from error


def _open_zip(path: str) -> zipfile.ZipFile:
    if os.path.isdir(path):
        raise SourceError(f"the zip file {path} is a folder; use folder:{path}")
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"the zip file {path} cannot be read: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
