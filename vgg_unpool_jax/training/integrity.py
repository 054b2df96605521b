"""Whether a checkpoint is complete, unchanged and of the expected model."""

import errno
import json
import pathlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from vgg_unpool_jax.errors import CheckpointError, first_line
from vgg_unpool_jax.io import paths

PyTree = Any

# Errors that say that a file cannot be read now, and nothing about its content.
_NOT_NOW = {
    *(errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.ENOTCONN, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT),
}
# In the names of checkpoints that orbax is writing. In a bucket, where nothing can be
# renamed, it writes the second file last.
_UNFINISHED = ".orbax-checkpoint-tmp"
_COMMITTED = "commit_success.txt"
_METADATA = "_CHECKPOINT_METADATA"


def leaves_by_name(tree: PyTree) -> Iterator[tuple[str, Any]]:
    """Every leaf with its name, which is the same for named tuples and dicts."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        keys = (
            getattr(k, "name", getattr(k, "key", getattr(k, "idx", k))) for k in path
        )
        yield "/".join(map(str, keys)), leaf


def array_checksums(tree: PyTree) -> dict[str, int]:
    """CRC-32 of every array by its name."""
    return {
        name: zlib.crc32(np.ascontiguousarray(jax.device_get(leaf)))
        for name, leaf in leaves_by_name(tree)
    }


def json_checksum(content: Mapping[str, Any]) -> int:
    """CRC-32 of JSON content, independent of the order of its keys."""
    content = json.loads(json.dumps(content))  # keys that are numbers become text
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def checksums_later(tree: PyTree, record: Mapping) -> Callable[[], dict[str, int]]:
    """A function that computes the checksums of arrays and of the item "record".

    The arrays must not change before it is called.
    """
    record = dict(record)
    return lambda: array_checksums(tree) | {"record": json_checksum(record)}


def check_fit(path: pathlib.Path, saved: PyTree, expected: PyTree) -> None:
    """Raise `CheckpointError` unless two trees have the same leaves and shapes."""
    saved, expected = (
        {name: tuple(leaf.shape) for name, leaf in leaves_by_name(tree)}
        for tree in (saved, expected)
    )
    for name in sorted(saved.keys() | expected.keys()):
        if saved.get(name) != expected.get(name):
            raise CheckpointError(
                f"the checkpoint {path} does not fit the model of this config: {name} "
                f"is {saved.get(name, 'absent')} in the checkpoint and "
                f"{expected.get(name, 'absent')} in the model"
            )


def unfinished(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Incomplete checkpoints of a run that was killed while saving."""
    if not paths.is_remote(folder):
        yield from folder.glob(f"*{_UNFINISHED}*")
        return
    files = paths.list_files(folder)
    for name in sorted({name.split("/")[0] for name in files}):
        if not name.isdecimal() or f"{name}/{_COMMITTED}" in files:
            continue
        # A copied checkpoint may be complete without that file, see its metadata.
        metadata = f"{name}/{_METADATA}"
        if metadata not in files or not _is_committed(folder / metadata):
            yield folder / name


def _is_committed(metadata: pathlib.Path) -> bool:
    try:
        content = json.loads(paths.read_bytes(metadata))
        return bool(content["commit_timestamp_nsecs"])
    except (KeyError, TypeError, ValueError):
        return False


def is_unreachable(path: pathlib.Path, error: Exception) -> bool:
    """Whether an error says that files cannot be read now, whatever they contain."""
    if paths.is_remote(path) and paths.is_connection_error(error):
        return True
    if isinstance(error, OSError):
        return error.errno in _NOT_NOW
    code = re.search(r"os_error_code='?(\d+)", str(error))  # tensorstore
    return code is not None and int(code.group(1)) in _NOT_NOW


def system_reason(error: Exception) -> str:
    """The system's message within the nested sentences of tensorstore."""
    reason = re.search(r"([^:]+) \[os_error_code=", str(error))
    return reason.group(1).strip() if reason else first_line(error)
