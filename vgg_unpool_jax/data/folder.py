"""Photos in a folder and the folders below it."""

import heapq
import os
from collections.abc import Iterator

import numpy as np

from vgg_unpool_jax.data import decode
from vgg_unpool_jax.errors import SourceError
from vgg_unpool_jax.io import paths

# What counts as a photo by its name, in folders and in zip files alike.
PHOTO_EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
    ".gif",
    ".ppm",
)


def is_photo_name(relative_path: str) -> bool:
    """Whether a path with forward slashes names a photo that is not hidden.

    Hidden are names that begin with a dot, also those of folders on the way, and
    `__MACOSX`, where macOS keeps what it adds to zip files.
    """
    parts = relative_path.split("/")
    if any(_is_hidden(part) for part in parts):
        return False
    return parts[-1].lower().endswith(PHOTO_EXTENSIONS)


def folder_label(relative_path: str) -> str | None:
    """Name of the folder directly above a photo; None where there is none.

    Args:
      relative_path: of the photo, with forward slashes: `images/apple_pie/1.jpg`.
    """
    # Paths in zip files may begin with a slash or hold two in a row.
    folders = [part for part in relative_path.split("/")[:-1] if part]
    return folders[-1] if folders else None


def source_path(path: str | os.PathLike) -> str:
    """A path of photos, whatever the current folder of a reader is."""
    if paths.is_remote(path):
        path = os.fspath(paths.to_path(path))
        paths.check_reachable(path)
        return path
    return os.path.abspath(os.path.expanduser(os.fspath(paths.to_path(path))))


class FolderSource:
    """The photos of a folder, sorted by their path relative to it.

    Args:
      path: the folder, local or gs://. It is searched once, here. Links to folders are
        followed; a folder that can be reached in several ways counts once.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = source_path(path)
        if paths.is_remote(self._path):
            self._names = _remote_photos_below(self._path)
        else:
            self._check_folder()
            self._names = sorted(_photos_below(self._path))
        if not self._names:
            raise SourceError(
                f"the folder {self._path} holds no photo "
                f"({', '.join(PHOTO_EXTENSIONS)}), also not in its subfolders"
            )

    def _check_folder(self):
        if not os.path.exists(self._path):
            raise SourceError(f"the photo folder {self._path} does not exist")
        if not os.path.isdir(self._path):
            raise SourceError(f"the photo folder {self._path} is not a folder")

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3) RGB; raises PhotoError when unreadable."""
        name = self._names[index]
        return decode.decode_photo(os.path.join(self._path, *name.split("/")), name)

    def name(self, index: int) -> str:
        """Path of photo `index` relative to the folder, with forward slashes."""
        return self._names[index]

    def label(self, index: int) -> str | None:
        """Name of the folder directly above photo `index`, None at the top."""
        return folder_label(self._names[index])

    def __repr__(self) -> str:
        return f"folder {self._path}"


def _remote_photos_below(top: str) -> list[str]:
    """As `_photos_below`, by one listing."""
    names = paths.list_files(top)
    if not names:
        is_file = paths.file_system(top).exists(top)
        reason = "is not a folder" if is_file else "does not exist or is empty"
        raise SourceError(f"the photo folder {top} {reason}")
    return [name for name in names if is_photo_name(name)]


def _photos_below(top: str) -> Iterator[str]:
    """Relative paths (forward slashes) of the photos below `top`, in any order."""
    # Every real folder is visited once, under the path with the fewest links and of
    # those the first in the alphabet. So loops end, no photo is listed twice (and gets
    # into two parts of a split), and all machines agree on the names.
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
            elif is_photo_name(name) and _is_file_or_dangling(path):
                yield prefix + name


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_file_or_dangling(path: str) -> bool:
    """Regular files, and links to nothing: those are photos that have vanished.

    Pipes and devices stay out, since reading them could wait for ever.
    """
    return os.path.isfile(path) or not os.path.exists(path)
