"""Photos in a folder and the folders below it."""

import heapq
import logging
import os
from collections.abc import Iterator

import numpy as np

from vgg_unpool_jax.data import decode
from vgg_unpool_jax.data.formats import PHOTO_SUFFIXES, is_unreadable, left_out
from vgg_unpool_jax.errors import SourceError
from vgg_unpool_jax.io import paths

_LOG = logging.getLogger(__name__)


def is_photo_name(relative_path: str) -> bool:
    """Whether a path with forward slashes names a photo that is not hidden.

    Hidden are files and folders whose names begin with a dot, and the folder
    `__MACOSX`, which macOS adds to zip files.
    """
    parts = relative_path.split("/")
    if any(_is_hidden(part) for part in parts):
        return False
    return parts[-1].lower().endswith(PHOTO_SUFFIXES)


def folder_label(relative_path: str) -> str | None:
    """Name of the folder directly above a photo; None where there is none.

    Args:
      relative_path: of the photo, with forward slashes: `images/apple_pie/1.jpg`.
    """
    # Paths in zip files may begin with a slash or hold two in a row.
    folders = [part for part in relative_path.split("/")[:-1] if part]
    return folders[-1] if folders else None


class FolderSource:
    """The photos of a folder, sorted by their path relative to it.

    Args:
      path: the folder, local or gs://. It is searched once, here. Links to folders are
        followed; a folder that can be reached in several ways counts once.
    """

    def __init__(self, path: str | os.PathLike):
        if paths.is_remote(path):
            paths.check_reachable(path)
            self._path = os.fspath(paths.to_path(path))
            found = paths.list_files(self._path)
        else:
            # Readers in other processes may have another current folder.
            self._path = os.path.abspath(paths.local_path(path))
            if not os.path.isdir(self._path):
                raise SourceError(
                    f"the photo folder {self._path} does not exist or is not a folder"
                )
            found = sorted(_files_below(self._path))
        self._names = list(filter(is_photo_name, found))
        others = left_out(filter(is_unreadable, found))
        if not self._names:
            raise SourceError(
                f"the folder {self._path} holds no photo "
                f"({', '.join(PHOTO_SUFFIXES)}), also not in its subfolders"
                + (f", but {others}" if others else "")
            )
        if others:
            _LOG.warning("%s: left out are %s", self._path, others)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3) RGB; raises PhotoError when unreadable."""
        name = self._names[index]
        return decode.decode_photo(os.path.join(self._path, *name.split("/")), name)

    @property
    def files(self) -> list[str]:
        """Paths of all photos, independent of the current folder."""
        return [f"{self._path}/{name}" for name in self._names]

    def name(self, index: int) -> str:
        """Path of photo `index` relative to the folder, with forward slashes."""
        return self._names[index]

    def label(self, index: int) -> str | None:
        """Name of the folder directly above photo `index`, None at the top."""
        return folder_label(self._names[index])

    def __repr__(self) -> str:
        return f"folder {self._path}"


def _files_below(top: str) -> Iterator[str]:
    """Relative paths (forward slashes) of the pictures below `top`, in any order."""
    # Every real folder is visited once, under the path with the fewest links and of
    # those the first in the alphabet. So loops end, no photo is listed twice (which
    # could put it into two splits), and all machines agree on the names.
    pending = [(0, "", top)]
    visited = set()
    while pending:
        links, prefix, folder = heapq.heappop(pending)
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        try:
            names = os.listdir(folder)
        except OSError as error:
            raise SourceError(
                f"the folder {folder} cannot be listed: {error.strerror}"
            ) from error
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isdir(path):
                if not _is_hidden(name):
                    deeper = links + os.path.islink(path)
                    heapq.heappush(pending, (deeper, f"{prefix}{name}/", path))
            elif _is_picture(name) and _is_file_or_dangling(path):
                yield prefix + name


def _is_picture(name: str) -> bool:
    return is_photo_name(name) or (is_unreadable(name) and not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_file_or_dangling(path: str) -> bool:
    """Whether a path is a regular file or a link to nothing, a photo that vanished.

    Pipes and devices are excluded, since reading them could wait indefinitely.
    """
    return os.path.isfile(path) or not os.path.exists(path)
