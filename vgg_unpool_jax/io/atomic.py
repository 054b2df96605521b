"""Files that are either whole or not there, and names that are free."""

import contextlib
import io
import itertools
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import BinaryIO

from vgg_unpool_jax.io import paths


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete.

    It is written beside the final place and renamed at the end, so that a reader, or
    a run that is killed half-way, never leaves or meets half a file. Missing parent
    folders are made. A remote file is kept in memory and uploaded at the end.

    Args:
      path: the final place, local or gs://; a file that is there is replaced.

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
    # Several processes may write the same file, on several machines.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def free_name(path: pathlib.Path) -> pathlib.Path:
    """The path, with a number behind it if it is taken."""
    free = path
    for number in itertools.count(2):
        if not free.exists():
            return free
        free = path.with_name(f"{path.name}-{number}")
