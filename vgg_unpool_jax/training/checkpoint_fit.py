"""Checkpoints that cannot be used, and whether one fits a model."""

import errno
import pathlib
import re
from typing import Any

from vgg_unpool_jax.training.checksums import leaves_by_name
from vgg_unpool_jax.weights.errors import first_line

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


class CheckpointError(ValueError):
    """A checkpoint that is missing or does not fit; one sentence says which and why."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose files are not as they were written."""


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
