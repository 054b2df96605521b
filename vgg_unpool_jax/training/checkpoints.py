"""Orbax checkpoints of a run: workdir/checkpoints/<step>.

A checkpoint holds three items: "state" (the `TrainState`: step, parameters, optimizer,
model state, average; the step is also the data position), "record" (JSON: what the
frozen inputs were made from) and "checksums" (JSON: the CRC-32 of every array and of
the record; orbax itself returns what is in a file with a flipped bit as if nothing were
wrong). Orbax writes aside and renames, in a bucket it writes `commit_success.txt` last:
a run killed while saving leaves the earlier checkpoints whole.

Other code restores a checkpoint by orbax alone, on any number of devices: arrays are
saved as NumPy arrays, and items by orbax's own handlers. See docs/orbax.md.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import jax
import numpy as np
import orbax.checkpoint as ocp

from vgg_unpool_jax.errors import CheckpointError, DamagedCheckpointError, first_line
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.io.atomic import free_name
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.integrity import (
    array_checksums,
    check_fit,
    checksums_later,
    is_unreachable,
    json_checksum,
    system_reason,
    unfinished,
)
from vgg_unpool_jax.training.run_config import CHECKPOINTS
from vgg_unpool_jax.training.state import TrainState

PyTree = Any

# Damaged checkpoints are moved here when a run is resumed.
DAMAGED_FOLDER = "damaged_checkpoints"
_STATE, _RECORD, _CHECKSUMS = "state", "record", "checksums"
_FIELDS = {"step", "params", "model_state", "opt_state", "average"}
_LOG = logging.getLogger(__name__)


class LaterJsonHandler(ocp.JsonCheckpointHandler):
    """Writes the result of a function that is called in orbax's writing thread.

    A checkpoint names the handlers of its items. This one writes what orbax's own
    reads, and is recorded as that, for programs without this package.
    """

    @classmethod
    def typestr(cls) -> str:
        """The name under which other programs look for a reader."""
        return ocp.JsonCheckpointHandler.typestr()

    async def _save_fn(self, x, directory):
        if jax.process_index() == 0:  # the only process whose result is written
            await super()._save_fn(x(), directory)


class Checkpoints:
    """The checkpoints of one workdir; use as a context manager or call `close`."""

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        max_to_keep: int | None = None,
        create: bool = True,
    ):
        """Open the folder; where it is created, all processes must take part.

        Args:
          workdir: folder of the run.
          max_to_keep: older checkpoints beyond this number are removed; None keeps all.
          create: False opens an existing folder to read it.
        """
        self._workdir = paths.absolute(workdir)
        self._folder = self._workdir / CHECKPOINTS
        if not create and not self._folder.is_dir():
            raise CheckpointError(f"there is no checkpoint in {self._folder}")
        if create:
            self._clean_up()
        for _, reason in self._without_notes():
            raise reason
        options = ocp.CheckpointManagerOptions(max_to_keep=max_to_keep, create=create)
        # Handlers are named so that a fresh process can read shapes before restoring.
        registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
        registry.add(_STATE, ocp.args.StandardSave)
        registry.add(_STATE, ocp.args.StandardRestore)
        for name, handler in (
            (_RECORD, ocp.JsonCheckpointHandler()),
            (_CHECKSUMS, LaterJsonHandler()),
        ):
            registry.add(name, ocp.args.JsonSave, handler)
            registry.add(name, ocp.args.JsonRestore, handler)
        self._manager = ocp.CheckpointManager(
            self._folder, options=options, handler_registry=registry
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Finish writing and release the folder."""
        with self._writing():
            self._manager.close()

    def wait(self) -> None:
        """Return when everything is written."""
        with self._writing():
            self._manager.wait_until_finished()

    def steps(self) -> list[int]:
        """Steps of which there is a whole checkpoint, ascending."""
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        """The newest step, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, record: Mapping[str, Any]) -> None:
        """Write a checkpoint of `state` in the background, once per step.

        A step before the newest raises ValueError: orbax would leave it out.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        if step < (self.latest_step() or 0):
            raise ValueError(
                f"{self._folder} has step {self.latest_step()}, got step {step} to save"
            )
        # On the host: else a reader needs the devices that the run had. All processes
        # hold the same; orbax writes the first's. Copied: the next step reuses memory.
        tree = jax.tree.map(lambda leaf: np.array(leaf, copy=True), _as_dict(state))
        items = {
            _STATE: ocp.args.StandardSave(tree),
            _RECORD: ocp.args.JsonSave(dict(record)),
            _CHECKSUMS: ocp.args.JsonSave(checksums_later(tree, record)),
        }
        with self._writing():
            self._manager.save(step, args=ocp.args.Composite(**items))

    def delete(self, steps: Iterable[int]) -> None:
        """Delete the checkpoints of some steps; all processes must call this."""
        for step in steps:
            self.wait()  # orbax would delete what it is writing
            with self._writing():
                self._manager.delete(step)

    def read_record(self, step: int | None = None) -> dict[str, Any]:
        """The record of a checkpoint (default: the newest)."""
        step = self._existing(step)
        record = self._read_json(step, _RECORD)
        read = json_checksum(record)
        if (self._read_checksums(step) or {}).get(_RECORD, read) != read:
            self._refuse_changed(step, _RECORD)
        return record

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """The state of a checkpoint (default: the newest) as NumPy arrays.

        Arrays are on the host, so that a run may be resumed with another number of
        devices or processes.

        Args:
          like: a state of the expected structure, shapes and dtypes.
          step: which one.
        """
        step = self._existing(step)
        wanted = _as_dict(like)
        check_fit(self._folder / str(step), self._saved_tree(step), wanted)
        return TrainState(**self._restore(step, wanted))

    def set_damaged_aside(self) -> None:
        """Move the newest checkpoints away until one can be read.

        They are moved to the folder `DAMAGED_FOLDER` beside that of the checkpoints,
        and a warning names each. All processes must call this.
        """
        while self.latest_step() is not None:
            step, reason = self._existing(None), None
            try:
                self.read_record(step)
                self._restore(step, self._saved_tree(step))
            except CheckpointError as error:
                reason = error
            # One process may see a fault that the others do not.
            is_unsure = reason and not isinstance(reason, DamagedCheckpointError)
            if parallel.any_process(bool(is_unsure)):
                raise reason or CheckpointError(f"not all could read {self._folder}")
            if not parallel.any_process(reason is not None):
                return
            if jax.process_index() == 0:
                self._move_aside(step, reason)
            parallel.any_process(False)  # wait for the move
            self._manager.reload()

    def restore_for_inference(
        self, step: int | None = None
    ) -> tuple[PyTree, PyTree, int]:
        """Evaluation parameters (the average, if there is one) and model state.

        Args:
          step: which checkpoint; default is the newest.

        Returns:
          params, model_state (NumPy arrays) and the step.
        """
        step = self._existing(step)
        state = self._restore(step, self._saved_tree(step))
        params = state["params"] if state["average"] is None else state["average"]
        return params, state["model_state"], step

    def _restore(self, step: int, like: PyTree) -> dict[str, Any]:
        target = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
        args = ocp.args.Composite(**{_STATE: ocp.args.StandardRestore(target)})
        with self._reading(step):
            state = self._manager.restore(step, args=args)[_STATE]
        # An entry without arrays has no checksum.
        for name in sorted(_FIELDS - state.keys()):
            self._refuse_changed(step, name)
        written, read = self._read_checksums(step), array_checksums(state)
        if written is not None:
            for name in sorted((written.keys() | read.keys()) - {_RECORD}):
                if written.get(name) != read.get(name):
                    self._refuse_changed(step, name)
        return state

    def _read_checksums(self, step: int) -> dict[str, Any] | None:
        """Checksums by name; None for checkpoints of earlier versions."""
        is_there = (self._folder / str(step) / _CHECKSUMS).is_dir()
        return self._read_json(step, _CHECKSUMS) if is_there else None

    def _refuse_changed(self, step: int, name: str) -> NoReturn:
        raise DamagedCheckpointError(
            f"the checkpoint {self._folder / str(step)} is damaged: {name} is not what "
            "was written"
        )

    def _clean_up(self) -> None:
        """Remove what killed runs left; the first process does it, the others wait."""
        refusal = None
        if jax.process_index() == 0:
            try:
                # Orbax would do it in a thread that outlives a command that fails.
                for left in unfinished(self._folder):
                    paths.remove_tree(left)
                for step, reason in self._without_notes():
                    self._move_aside(step, reason)
            except (OSError, CheckpointError) as error:
                refusal = error
        if parallel.any_process(refusal is not None):
            raise refusal or CheckpointError(f"process 0 cannot use {self._folder}")

    def _without_notes(self) -> Iterator[tuple[int, DamagedCheckpointError]]:
        """Checkpoints whose orbax metadata, which it reads all at once, are damaged."""
        for step in list(ocp.path.step.standard_name_format().find_all(self._folder)):
            try:
                with self._reading(step.step):
                    _ = step.commit_timestamp_nsecs
            except DamagedCheckpointError as error:
                yield step.step, error

    def _move_aside(self, step: int, reason: object) -> None:
        aside = free_name(self._workdir / DAMAGED_FOLDER / str(step))
        paths.move_tree(self._folder / str(step), aside)
        reason = reason or f"another process could not read checkpoint {step}"
        _LOG.warning("%s; it was moved to %s", reason, aside)

    def _read_json(self, step: int, item: str) -> dict[str, Any]:
        args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
        with self._reading(step):
            return dict(self._manager.restore(step, args=args)[item])

    def _saved_tree(self, step: int) -> PyTree:
        with self._reading(step):
            tree = self._manager.item_metadata(step)[_STATE].tree
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree
            )

    @contextlib.contextmanager
    def _reading(self, step: int):
        """Around calls of orbax, which raises almost anything on damaged files."""
        try:
            yield
        except (MemoryError, jax.errors.JaxRuntimeError):  # of this process
            raise
        except Exception as error:
            # A checkpoint that is out of reach is not damaged, and is not moved.
            out_of_reach = is_unreachable(self._folder, error)
            raise (CheckpointError if out_of_reach else DamagedCheckpointError)(
                f"the checkpoint {self._folder / str(step)} cannot be read: "
                f"{first_line(error)}"
            ) from error

    @contextlib.contextmanager
    def _writing(self):
        """Around calls of orbax that raise the errors of its writing threads."""
        try:
            yield
        except Exception as error:
            is_of_files = isinstance(error, (ValueError, OSError))
            if not is_of_files and not is_unreachable(self._folder, error):
                raise
            whole = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(
                f"a checkpoint cannot be written in {self._folder}: "
                f"{system_reason(error)}; whole ones there: {whole}"
            ) from error

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


def _as_dict(state: TrainState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in _FIELDS}
