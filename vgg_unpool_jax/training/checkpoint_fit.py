"""Checkpoints that cannot be used, and whether one fits a model."""

import errno
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from vgg_unpool_jax.errors import CheckpointError, first_line
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.training.checksums import leaves_by_name

PyTree = Any

# What orbax and tensorstore raise for files that are damaged.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)

# What says that a file cannot be read now, and nothing of what is in it.
_NOT_NOW = {
    *(
        errno.EACCES,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOTCONN,
    ),
    *(errno.EPERM, errno.ESTALE, errno.ETIMEDOUT),
}
# How orbax names what it is writing, and in a bucket, where nothing can be renamed, the
# file that it writes last.
_UNFINISHED = ".orbax-checkpoint-tmp"
_COMMITTED = "commit_success.txt"
_NOTES = "_CHECKPOINT_METADATA"


def check_fit(path: pathlib.Path, saved: PyTree, wanted: PyTree) -> None:
    """Raise `CheckpointError` unless two trees have the same leaves and shapes."""
    saved, wanted = _shapes(saved), _shapes(wanted)
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise CheckpointError(
                f"the checkpoint {path} does not fit the model of this config: {name} "
                f"is {saved.get(name, 'absent')} in the checkpoint and "
                f"{wanted.get(name, 'absent')} in the model"
            )


def unfinished(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """What a run left that was killed while saving.

    Args:
      folder: of the checkpoints; it need not exist.
    """
    if not paths.is_remote(folder):
        yield from folder.glob(f"*{_UNFINISHED}*")
        return
    files = paths.list_files(folder)
    for name in sorted({name.split("/")[0] for name in files}):
        if not name.isdecimal() or f"{name}/{_COMMITTED}" in files:
            continue
        # One that was copied here may be whole without: its notes say when it was.
        notes = f"{name}/{_NOTES}"
        if notes not in files or not _says_when(folder / notes):
            yield folder / name


def _says_when(notes: pathlib.Path) -> bool:
    try:
        return bool(json.loads(paths.read_bytes(notes))["commit_timestamp_nsecs"])
    except (KeyError, TypeError, ValueError):
        return False


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in leaves_by_name(tree)}


def is_unreachable(error: Exception) -> bool:
    """Whether an error says that files cannot be read now, and not what is in them."""
    if isinstance(error, OSError):
        return error.errno in _NOT_NOW
    said = re.search(r"os_error_code='?(\d+)", str(error))  # tensorstore
    return said is not None and int(said.group(1)) in _NOT_NOW


def system_reason(error: Exception) -> str:
    """What the system said, out of the nested sentences of tensorstore."""
    said = re.search(r"([^:]+) \[os_error_code=", str(error))
    return said.group(1).strip() if said else first_line(error)
