"""Folders that are either whole or not there."""

import contextlib
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.io.paths import is_remote


@contextlib.contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Fill a folder that takes its name only when it is complete.

    It is filled beside the final place and renamed at the end; after an error nothing
    of it is left. Missing parent folders are made.

    Args:
      path: the final place, of this machine; it may exist if it is an empty folder.

    Yields:
      The folder to write into.
    """
    check_output(path)
    path = pathlib.Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    aside.mkdir()
    try:
        yield aside
        check_output(path)  # it may have been filled in the meantime
        os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_output(path: str | os.PathLike) -> None:
    """Raise `UserError` unless a folder can be made here, or an empty one is here."""
    if is_remote(path):
        raise UserError(f"{path} cannot be written: only local folders can, copy one")
    path = pathlib.Path(path)
    if path.is_dir():
        if any(path.iterdir()):
            raise UserError(f"{path} is not empty: name a new folder, or an empty one")
    elif os.path.lexists(path):
        raise UserError(f"{path} is no folder: name a new one")
