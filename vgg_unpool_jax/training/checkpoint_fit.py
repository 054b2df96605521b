"""Checkpoints that cannot be used, and whether one fits a model."""

import pathlib
from typing import Any

from vgg_unpool_jax.training.checksums import leaves_by_name

PyTree = Any


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
