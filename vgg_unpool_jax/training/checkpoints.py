"""Orbax checkpoints of a run: workdir/checkpoints/<step>.

A checkpoint holds two items: "state" (the `TrainState`: step, parameters, optimizer,
model state, average; the step is also the data position) and "record" (JSON: what the
frozen inputs were made from). Orbax writes aside and renames, so a run killed while
saving leaves the earlier checkpoints whole.

From other code a checkpoint restores without this package, by orbax alone:

    manager = orbax.checkpoint.CheckpointManager(
        "W/checkpoints", item_names=("state", "record"))
    state = manager.restore(manager.latest_step(), args=orbax.checkpoint.args.Composite(
        state=orbax.checkpoint.args.StandardRestore())).state
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.state import TrainState

PyTree = Any

FOLDER = "checkpoints"
_STATE, _RECORD = "state", "record"


class CheckpointError(ValueError):
    """A checkpoint that is missing or does not fit; one sentence says which and why."""


class Checkpoints:
    """The checkpoints of one workdir; use as a context manager or call `close`."""

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        max_to_keep: int | None = None,
        create: bool = True,
    ):
        """Open the folder.

        Args:
          workdir: folder of the run.
          max_to_keep: older checkpoints beyond this number are removed; None keeps all.
          create: False opens an existing folder to read it.

        Raises:
          CheckpointError: when the folder is missing and is not to be created.
        """
        self._folder = pathlib.Path(workdir).absolute() / FOLDER
        if not create and not self._folder.is_dir():
            raise CheckpointError(f"there is no checkpoint in {self._folder}")
        options = ocp.CheckpointManagerOptions(max_to_keep=max_to_keep, create=create)
        # Handlers are named so that a fresh process can read shapes before restoring.
        registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
        registry.add(_STATE, ocp.args.StandardSave)
        registry.add(_STATE, ocp.args.StandardRestore)
        registry.add(_RECORD, ocp.args.JsonSave)
        registry.add(_RECORD, ocp.args.JsonRestore)
        self._manager = ocp.CheckpointManager(
            self._folder, options=options, handler_registry=registry
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Finish writing and release the folder."""
        self._manager.close()

    def steps(self) -> list[int]:
        """Steps of which there is a whole checkpoint, ascending."""
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        """The newest step, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, record: Mapping[str, Any]) -> None:
        """Write a checkpoint of `state` in the background, once per step."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                **{
                    _STATE: ocp.args.StandardSave(parallel.to_global(_as_dict(state))),
                    _RECORD: ocp.args.JsonSave(dict(record)),
                }
            ),
        )

    def read_record(self, step: int | None = None) -> dict[str, Any]:
        """The record of a checkpoint (default: the newest).

        Raises:
          CheckpointError: when there is none.
        """
        step = self._existing(step)
        args = ocp.args.Composite(**{_RECORD: ocp.args.JsonRestore()})
        return dict(self._manager.restore(step, args=args)[_RECORD])

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """The state of a checkpoint (default: the newest) as NumPy arrays.

        Arrays come to the host, so that a run may go on with another number of devices
        or processes than it was saved with.

        Args:
          like: a state of the wanted structure, shapes and dtypes.
          step: which one.

        Raises:
          CheckpointError: when there is none, or it belongs to another model.
        """
        step = self._existing(step)
        wanted = _as_dict(like)
        self._check_fit(step, wanted)
        return TrainState(**self._restore(step, wanted))

    def restore_for_inference(
        self, step: int | None = None
    ) -> tuple[PyTree, PyTree, int]:
        """Evaluation parameters (the average, if there is one) and model state.

        Args:
          step: which checkpoint; default is the newest.

        Returns:
          params, model_state (NumPy arrays) and the step.

        Raises:
          CheckpointError: when there is none.
        """
        step = self._existing(step)
        state = self._restore(step, self._saved_tree(step))
        params = state["params"] if state["average"] is None else state["average"]
        return params, state["model_state"], step

    def _restore(self, step: int, like: PyTree) -> dict[str, Any]:
        target = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
        args = ocp.args.Composite(**{_STATE: ocp.args.StandardRestore(target)})
        try:
            return self._manager.restore(step, args=args)[_STATE]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CheckpointError(
                f"the checkpoint {self._folder / str(step)} cannot be read: "
                f"{_first_line(error)}"
            ) from error

    def _saved_tree(self, step: int) -> PyTree:
        try:
            return self._manager.item_metadata(step)[_STATE].tree
        except (ValueError, KeyError, OSError, AttributeError) as error:
            raise CheckpointError(
                f"the checkpoint {self._folder / str(step)} cannot be read: "
                f"{_first_line(error)}"
            ) from error

    def _check_fit(self, step: int, wanted: PyTree) -> None:
        check_fit(self._folder / str(step), self._saved_tree(step), wanted)

    def _existing(self, step: int | None) -> int:
        self._manager.wait_until_finished()  # steps() lists those being written, too
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"there is no checkpoint in {self._folder}")
        if step is None:
            return steps[-1]
        if step not in steps:
            raise CheckpointError(
                f"there is no checkpoint of step {step} in {self._folder}, only of "
                f"{', '.join(map(str, steps))}"
            )
        return step


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


def _as_dict(state: TrainState) -> dict[str, Any]:
    return {
        "step": state.step,
        "params": state.params,
        "model_state": state.model_state,
        "opt_state": state.opt_state,
        "average": state.average,
    }


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Shape of every leaf by a name that named tuples and dicts spell alike."""
    return {
        "/".join(
            str(getattr(k, "name", getattr(k, "key", getattr(k, "idx", k))))
            for k in path
        ): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
