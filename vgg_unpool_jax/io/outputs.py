"""Checks of the files that a program is going to write, before its work.

No file that is read may be written, whatever its name: links are followed, and names
that differ in case alone are one file where the file system says so.
"""

import contextlib
import functools
import os
import pathlib
import re
from collections.abc import Iterable

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io.paths import is_remote, resolved, to_path

PathLike = str | os.PathLike

# What a name of a file ends in, such as .tiff, but not that of a folder like run-1.5.
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]*")


def check_outputs(writes: Iterable[PathLike], reads: Iterable[PathLike] = ()) -> None:
    """Raise `ConfigError` unless these files can be written and none of them is read.

    Args:
      writes: files to write; they need not exist, nor the folders around them.
      reads: files that are read, and folders, of which any file may be read.
    """
    identity = functools.cache(_identity)
    read = {identity(path): path for path in map(to_path, reads)}
    written = set()
    for path in map(to_path, writes):
        check_folder(path.parent)
        if not is_remote(path) and path.is_dir():
            raise ConfigError(f"the output {path} is a folder, expected a file")
        if identity(path) in written:
            raise ConfigError(f"two outputs would both be {path}: rename one of them")
        written.add(identity(path))
        found = read.get(identity(path))
        if found is None:
            around = [read[i] for i in map(identity, _parents(path)) if i in read]
            if not around or not path.exists():
                continue
            found = around[0]
        among = "" if found == path else f" ({found})"
        raise ConfigError(
            f"the output {path} would overwrite a file that is read{among}: take "
            "another name"
        )


def output_folder(path: PathLike, example: str = "") -> pathlib.Path:
    """The path of a folder to write into, which need not exist.

    Args:
      path: refused if it is a file, or would be a new folder with the name of a file,
        as `result.tif`, which a slash at the end prevents.
      example: what to do instead, for the sentence.

    Returns:
      The path.
    """
    folder = to_path(path)
    if folder.exists():
        if not folder.is_dir():
            raise ConfigError(f"the output {folder} is not a folder")
    elif names_file(path):
        raise ConfigError(
            f"the output {folder} would be a folder with the name of a file: "
            f"{example or 'name a folder'}, or end it with a slash"
        )
    check_folder(folder)
    return folder


def names_file(path: PathLike) -> bool:
    """Whether a path ends like a file, in an extension that begins with a letter."""
    text = os.fsdecode(path)
    suffix = pathlib.PurePath(text).suffix
    return bool(_EXTENSION.fullmatch(suffix)) and not text.endswith(("/", os.sep))


def check_folder(folder: pathlib.Path) -> None:
    """Refuse a folder that cannot be made, or into which nothing can be written."""
    if is_remote(folder):
        return
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} is a file, where a folder for the output is needed"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing can be written into the folder {folder}")


def _identity(path: pathlib.Path):
    """What two names of one file or folder have in common."""
    if not is_remote(path):
        with contextlib.suppress(OSError):  # it does not exist
            found = os.stat(path)
            return found.st_dev, found.st_ino
    return resolved(path)


def _parents(path: pathlib.Path) -> list[pathlib.Path]:
    if is_remote(path):
        return list(path.parents)
    # Of a link: the folders around it and around the file that it names.
    return [*path.absolute().parents, *pathlib.Path(resolved(path)).parents]
