"""Where files are: folders of this machine, and gs://BUCKET/PATH.

A local path is a `pathlib.Path` and a remote one an `epath.Path`, which has the same
methods. What an object store does in another way stands here: it has no folders, no
renaming and no appending, and an upload is there when it is whole.

The package gcsfs is needed for gs:// alone, and imported for it alone.
"""

import contextlib
import errno
import importlib.util
import io
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from vgg_unpool_jax.errors import ConfigError, RemoteError

SCHEME = "gs://"
INSTALL = "pip install gcsfs"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# How gcsfs and tensorstore say that something could not be reached, or not be had.
_TROUBLE = re.compile(
    r"^Forbidden|\b(ABORTED|CANCELLED|DEADLINE_EXCEEDED|PERMISSION_DENIED|"
    r"RESOURCE_EXHAUSTED|UNAUTHENTICATED|UNAVAILABLE)\b"
)
_NO_FILE = os.strerror(errno.ENOENT)
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

# Etils would else import TensorFlow where it is installed, which takes seconds and, on
# a GPU, memory. It asks once, so this is said before anybody can have asked.
os.environ.setdefault("EPATH_USE_TF", "false")


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path is of an object store."""
    return os.fsdecode(path).startswith(SCHEME)


def to_path(path: str | os.PathLike) -> pathlib.Path:
    """A path to work with; nothing is asked of the place itself.

    Args:
      path: of this machine, or gs://BUCKET/PATH.

    Returns:
      A `pathlib.Path`, or an `epath.Path` with the same methods.
    """
    text = os.fspath(path)
    if not is_remote(path):
        if isinstance(text, str) and _URL.match(text):
            raise ConfigError(
                f"{text} cannot be used: of addresses only {SCHEME}BUCKET/PATH can"
            )
        if str(pathlib.PurePath(path)).startswith("gs:/"):
            # What pathlib leaves of an address: it would become a local folder.
            raise ConfigError(f"{text} is no path: write {SCHEME}BUCKET/PATH, as text")
        return pathlib.Path(path)
    if not text.removeprefix(SCHEME).strip("/"):
        raise ConfigError(f"{text} names no bucket: write {SCHEME}BUCKET/PATH")
    if importlib.util.find_spec("gcsfs") is None:
        raise ConfigError(f"{text} needs a package that is not installed: {INSTALL}")
    import fsspec
    from etils import epath

    # Tensorstore and other processes write as well: what was listed once is not true
    # for ever.
    fsspec.config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    return epath.Path(text.rstrip("/"))


def absolute(path: str | os.PathLike) -> pathlib.Path:
    """The path, independent of the current folder; links stay."""
    path = to_path(path)
    return path if is_remote(path) else path.absolute()


def resolved(path: str | os.PathLike) -> str:
    """One text for one place: absolute, and of this machine without links."""
    return os.fspath(path) if is_remote(path) else os.path.realpath(path)


def check_reachable(path: str | os.PathLike) -> None:
    """Ask an object store for a path once, so that what is wrong shows now.

    Args:
      path: any; nothing is asked of this machine.
    """
    if not is_remote(path):
        return
    try:
        file_system(path).info(_bucket(path))
        file_system(path).exists(os.fspath(path))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no bucket {_bucket(path)}") from error
    # Credentials, network and service have errors of several packages without a base.
    except Exception as error:
        raise ConfigError(f"{path} cannot be reached: {_first_line(error)}") from error


def is_trouble(error: BaseException) -> bool:
    """Whether an error of reading speaks of the way to a remote file, not of the file.

    Args:
      error: as gcsfs, tensorstore or orbax raised it.
    """
    if isinstance(error, OSError) and not isinstance(error, _ABSENT):
        return True
    return type(error).__module__.startswith("gcsfs.") or bool(
        _TROUBLE.search(str(error))
    )


def file_system(path: str | os.PathLike):
    """The fsspec file system of a remote path: the one that `epath` uses."""
    import fsspec

    to_path(path)  # what is to be refused or set
    return fsspec.filesystem("gcs", finalize_on_close=True)


def list_files(folder: str | os.PathLike) -> list[str]:
    """Paths of all files below a remote folder, relative to it, sorted.

    Args:
      folder: remote; one that does not exist has no files.
    """
    prefix = f"{os.fspath(folder).removeprefix(SCHEME).rstrip('/')}/"
    found = file_system(folder).find(prefix)
    # A name that ends in a slash is how some programs write an empty folder.
    return sorted(
        name.removeprefix(prefix)
        for name in found
        if name.startswith(prefix) and not name.endswith("/")
    )


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a file."""
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read()
    with os_errors(path):
        return file_system(path).cat_file(os.fspath(path))


def open_binary(path: str | os.PathLike) -> BinaryIO:
    """Open a file to read it; a remote one is in memory then."""
    return io.BytesIO(read_bytes(path)) if is_remote(path) else open(path, "rb")


@contextlib.contextmanager
def local_copy(
    path: str | os.PathLike, refusal: type[Exception]
) -> Iterator[pathlib.Path]:
    """A file of this machine with the content of another, for as long as it is open.

    Args:
      path: a local file is given back as it is; a remote one is fetched.
      refusal: the class to raise. Errors of it that name the copy name the remote file
        when they leave.
    """
    if not is_remote(path):
        yield pathlib.Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="vgg_unpool_jax-") as folder:
        copy = pathlib.Path(folder) / to_path(path).name
        check_reachable(path)
        try:
            with os_errors(path):
                file_system(path).get_file(os.fspath(path), str(copy))
        except OSError as error:
            said = error.strerror or _first_line(error)
            raise refusal(f"{path} cannot be read: {said}") from error
        try:
            yield copy
        except refusal as error:
            raise type(error)(str(error).replace(str(copy), str(path))) from error


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a remote file in one upload: it is there whole or not at all."""
    with os_errors(path):
        file_system(path).pipe_file(os.fspath(path), content)


def remove_tree(folder: pathlib.Path) -> None:
    """Delete a folder with all that is in it."""
    if not is_remote(folder):
        shutil.rmtree(folder)
        return
    _remove_all(folder, list_files(folder))


def move_tree(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Move a folder; a remote one is copied and then deleted.

    Args:
      folder: what to move.
      target: its new name; nothing may be there. Parent folders are made.
    """
    if not is_remote(folder):
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        return
    names = list_files(folder)
    with os_errors(folder):
        for name in names:
            file_system(folder).cp_file(f"{folder}/{name}", f"{target}/{name}")
    _remove_all(folder, names)


def _remove_all(folder, names: list[str]) -> None:
    # What lies on top first: there are the marks by which a folder counts as whole.
    with os_errors(folder):
        for name in sorted(names, key=lambda name: name.count("/")):
            file_system(folder).rm_file(f"{folder}/{name}")


@contextlib.contextmanager
def os_errors(path: str | os.PathLike) -> Iterator[None]:
    """Raise what gcsfs has to say as `OSError` that names the path.

    Args:
      path: the remote file or folder that is worked on.
    """
    try:
        yield
    except FileNotFoundError as error:  # gcsfs names what it asked for
        raise FileNotFoundError(errno.ENOENT, _NO_FILE, str(path)) from error
    except Exception as error:
        if not is_trouble(error):
            raise
        raise RemoteError(f"{path}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _bucket(path) -> str:
    return os.fspath(path).removeprefix(SCHEME).split("/", 1)[0]
