"""Paths of this machine, and of workdirs and photo folders in gs://BUCKET/PATH.

A local path is a `pathlib.Path` and a remote one an `epath.Path` with the same methods.
This module has the operations in which an object store differs: it has no folders, no
renaming and no appending, and an upload appears when it is complete.

The package gcsfs is needed and imported for gs:// only.
"""

import errno
import importlib.util
import os
import pathlib
import re
import shutil

import platformdirs

from vgg_unpool_jax.errors import ConfigError, RemoteError, UserError, first_line

SCHEME = "gs://"
CACHE_VARIABLE = "VGG_UNPOOL_CACHE"
INSTALL = "pip install gcsfs"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# tensorstore raises ValueError for everything; its texts begin with these codes.
_STATUS = re.compile(
    r"\b(ABORTED|CANCELLED|DEADLINE_EXCEEDED|PERMISSION_DENIED|RESOURCE_EXHAUSTED|"
    r"UNAUTHENTICATED|UNAVAILABLE)\b"
)
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

# Otherwise etils imports TensorFlow where it is installed, which takes seconds and, on
# a GPU, memory. It reads the variable once, when it is imported.
os.environ.setdefault("EPATH_USE_TF", "false")


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path is in an object store."""
    return os.fsdecode(path).startswith(SCHEME)


def to_path(path: str | os.PathLike) -> pathlib.Path:
    """A path object for a local or remote path; no file is read or made.

    Args:
      path: of this machine, or gs://BUCKET/PATH. A leading `~` or `~USER` is replaced
        by the home folder.

    Returns:
      A `pathlib.Path`, or an `epath.Path` with the same methods.
    """
    text = os.fsdecode(path)
    if not text.strip():
        raise ConfigError("a path is empty, expected the name of a file or folder")
    if not is_remote(path):
        if _URL.match(text):
            raise ConfigError(
                f"{text} cannot be used: of addresses only {SCHEME}BUCKET/PATH can"
            )
        if str(pathlib.PurePath(text)).startswith("gs:/"):
            # pathlib has merged the two slashes: this would become a local folder.
            raise ConfigError(f"{text} is no path: write {SCHEME}BUCKET/PATH, as text")
        return _expand(pathlib.Path(text))
    if not text.removeprefix(SCHEME).strip("/"):
        raise ConfigError(f"{text} names no bucket: write {SCHEME}BUCKET/PATH")
    if importlib.util.find_spec("gcsfs") is None:
        raise ConfigError(f"{text} needs a package that is not installed: {INSTALL}")
    import fsspec
    from etils import epath

    # Listings are not cached, because tensorstore and other processes write, too.
    fsspec.config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    return epath.Path(text.rstrip("/"))


def _expand(path: pathlib.Path) -> pathlib.Path:
    """Replace a leading `~`; a file of such a name that belongs to no user stays."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        if os.path.lexists(path):
            return path
        raise UserError(
            f"the home folder in {path} cannot be found ({first_line(error)})"
        ) from error


def local_path(path: str | os.PathLike) -> pathlib.Path:
    """A path of this machine."""
    if is_remote(path):
        raise UserError(
            f"{path} must be copied to this machine first, it is not read from a bucket"
        )
    return to_path(path)


def cache_folder(cache_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder for what is downloaded, or made once and used again.

    Args:
      cache_dir: the folder; None for the environment variable VGG_UNPOOL_CACHE, else
        the user's cache folder of this operating system.

    Returns:
      The folder, which need not exist.
    """
    chosen = cache_dir or os.environ.get(CACHE_VARIABLE)
    return local_path(chosen or platformdirs.user_cache_dir("vgg_unpool_jax"))


def absolute(path: str | os.PathLike) -> pathlib.Path:
    """The path, independent of the current folder; links stay."""
    path = to_path(path)
    return path if is_remote(path) else path.absolute()


def resolved(path: str | os.PathLike) -> str:
    """The absolute path, without links on this machine, to compare files by."""
    return os.fspath(path) if is_remote(path) else os.path.realpath(to_path(path))


def check_reachable(path: str | os.PathLike) -> None:
    """Ask an object store for a path once, so that problems show before any work.

    Args:
      path: local paths are not accessed.
    """
    if not is_remote(path):
        return
    try:
        file_system(path).info(_bucket(path))
        file_system(path).exists(os.fspath(path))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no bucket {_bucket(path)}") from error
    # Errors of credentials, network and service come from several packages.
    except Exception as error:
        raise ConfigError(f"{path} cannot be reached: {first_line(error)}") from error


def is_connection_error(error: BaseException) -> bool:
    """Whether reading a remote file failed for another reason than its content.

    Args:
      error: as gcsfs, tensorstore or orbax raised it.
    """
    if isinstance(error, OSError) and not isinstance(error, _ABSENT):
        return True
    return type(error).__module__.startswith("gcsfs.") or bool(
        _STATUS.search(str(error))
    )


def file_system(path: str | os.PathLike):
    """The fsspec file system of a remote path, the one that `epath` uses."""
    import fsspec

    to_path(path)  # checks the path and configures fsspec
    return fsspec.filesystem("gcs", finalize_on_close=True)


def list_files(folder: str | os.PathLike) -> list[str]:
    """Paths of all files below a remote folder, relative to it, sorted.

    Args:
      folder: remote; one that does not exist has no files.
    """
    prefix = f"{os.fspath(folder).removeprefix(SCHEME).rstrip('/')}/"
    found = _ask("find", f"{SCHEME}{prefix}")
    # Some programs write an empty folder as a name that ends in a slash.
    return sorted(
        name.removeprefix(prefix)
        for name in found
        if name.startswith(prefix) and not name.endswith("/")
    )


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a local or remote file; raises OSError."""
    if is_remote(path):
        return _ask("cat_file", path)
    with open(to_path(path), "rb") as file:
        return file.read()


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a remote file in one upload: it appears complete or not at all."""
    _ask("pipe_file", path, content)


def remove_tree(folder: pathlib.Path) -> None:
    """Delete a folder and everything in it."""
    if is_remote(folder):
        _remove_all(folder, list_files(folder))
    else:
        shutil.rmtree(folder)


def move_tree(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Move a folder; a remote one is copied and then deleted.

    Args:
      folder: the folder to move.
      target: its new name, which must be free. Parent folders are made.
    """
    if not is_remote(folder):
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        return
    names = list_files(folder)
    for name in names:
        _ask("cp_file", f"{folder}/{name}", f"{target}/{name}")
    _remove_all(folder, names)


def _remove_all(folder, names: list[str]) -> None:
    # Files at the top come first: they mark a checkpoint as complete.
    for name in sorted(names, key=lambda name: name.count("/")):
        _ask("rm_file", f"{folder}/{name}")


def _ask(method: str, path: str | os.PathLike, *arguments):
    """Call a method of the file system; its errors are OSErrors that name the path."""
    try:
        return getattr(file_system(path), method)(os.fspath(path), *arguments)
    except FileNotFoundError as error:
        missing = os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, missing, str(path)) from error
    # gcsfs and the packages below it have no common class of errors.
    except Exception as error:
        raise RemoteError(f"{path}: {first_line(error)}") from error


def _bucket(path) -> str:
    return os.fspath(path).removeprefix(SCHEME).split("/", 1)[0]
