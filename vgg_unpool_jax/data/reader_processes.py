"""Reader processes: how grain starts them, and how they end after errors."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable

import grain
import jax
from absl import flags

from vgg_unpool_jax.errors import UserError

# Arrays from this size on travel in shared memory, smaller ones through a pipe.
_SHARED_BYTES = 1 << 14


def read_in_processes(
    data_set: grain.IterDataset, *, num_workers: int, prefetch: int
) -> grain.IterDataset:
    """The same elements in the same order, read by `num_workers` other processes.

    Args:
      data_set: the elements to read; it is pickled.
      num_workers: number of processes, at least 1.
      prefetch: elements that every process keeps ready, at least 1 is used.

    Returns:
      A data set whose iterators start the processes and stop them when closed.
    """
    data_set = grain.experimental.WithOptionsIterDataset(
        data_set, grain.experimental.DatasetOptions(min_shm_size=_SHARED_BYTES)
    )
    return data_set.mp_prefetch(
        grain.MultiprocessingOptions(
            num_workers=num_workers, per_worker_buffer_size=max(prefetch, 1)
        ),
        worker_init_fn=_start_worker,
    )


class Readers:
    """The iterator over the elements that the readers deliver, and the only reference
    to it.

    Args:
      data_set: the elements to iterate over.
      source: named in error messages.
    """

    def __init__(self, data_set: Iterable, source):
        self._source = source
        self._iterator = iter(data_set)

    def __next__(self):
        """The next element of the readers."""
        if self._iterator is None:
            raise ValueError("the loader has been closed; make a new one to continue")
        try:
            return next(self._iterator)
        except RuntimeError as error:
            if "Worker process was terminated" not in str(error):
                raise
            raise UserError(
                f"a reader process of {self._source!r} has died. Was it killed for "
                f"lack of memory, or is /dev/shm too small (in containers: "
                f"--shm-size)? Fewer workers, smaller batches or num_workers=0 need "
                f"less. {error}"
            ) from error

    def close(self) -> None:
        """Stop the readers. Closing twice does no harm."""
        # The reference is dropped here, because grain's iterators clean up again when
        # they are deleted, and print tracebacks if the interpreter is ending by then.
        iterator, self._iterator = self._iterator, None
        if hasattr(iterator, "close"):
            iterator.close()


def let_grain_read_its_flags() -> None:
    """Give grain the defaults of its absl flags if no flags have been parsed.

    grain 0.2.18 raises UnparsedFlagAccessError when it starts workers in a program
    without absl flags (a notebook, a script, pytest). A flag that counts as present can
    be read before parsing, and a later parse still sets it.
    """
    if not flags.FLAGS.is_parsed():
        for name in flags.FLAGS:
            if name.startswith("grain_"):
                flag = flags.FLAGS[name]
                flag.present = max(flag.present, 1)


def _start_worker(worker_index: int, worker_count: int) -> None:
    """Prepare a new reader process; runs in it before anything is read."""
    del worker_index, worker_count
    # grain imports jax. Nothing here computes with it, and if something did, it must
    # not take the accelerator from the process that trains.
    os.environ["JAX_PLATFORMS"] = "cpu"
    jax.config.update("jax_platforms", "cpu")
    # Ctrl-C reaches the whole process group; the main process stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A killed main process (SIGKILL) cannot stop them; they would wait indefinitely.
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent) -> None:
    parent.join()
    os._exit(1)
