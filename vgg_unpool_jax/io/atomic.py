"""Files and folders that are either complete or absent, and names that are free."""

import contextlib
import io
import itertools
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator
from typing import BinaryIO

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.io.outputs import check_folder


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete.

    It is written beside the final path and renamed at the end: no reader sees half a
    file and a killed run leaves none. Missing parent folders are made. A remote file is
    kept in memory and uploaded at the end.

    Args:
      path: local or gs://; an existing file is replaced.

    Yields:
      A binary file object.
    """
    path = paths.to_path(path)
    if paths.is_remote(path):
        content = io.BytesIO()
        yield content
        paths.write_bytes(path, content.getvalue())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Fill a folder that takes its name only when it is complete.

    It is filled beside the final path and renamed at the end; after an error nothing
    of it is left. Missing parent folders are made.

    Args:
      path: on this machine; it may exist if it is an empty folder.

    Yields:
      The folder to write into.
    """
    check_new_folder(path)
    path = paths.to_path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    aside.mkdir()
    try:
        yield aside
        check_new_folder(path)  # it may have been filled in the meantime
        os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_new_folder(path: str | os.PathLike) -> None:
    """Raise `UserError` unless a folder can be made here, or an empty one is here."""
    if paths.is_remote(path):
        raise UserError(f"{path} cannot be written: name a folder of this machine")
    path = paths.to_path(path)
    if path.is_dir():
        if any(path.iterdir()):
            raise UserError(f"{path} is not empty: name a new folder, or an empty one")
    elif os.path.lexists(path):
        raise UserError(f"{path} is not a folder: name a new one")
    check_folder(path)


def free_name(path: pathlib.Path) -> pathlib.Path:
    """The path, with a number appended if it exists."""
    free = path
    for number in itertools.count(2):
        if not free.exists():
            return free
        free = path.with_name(f"{path.name}-{number}")


def _aside(path: pathlib.Path) -> pathlib.Path:
    # Random, because several processes and machines may write the same path.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
