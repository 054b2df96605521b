"""How a command ends in one process of several."""

import logging
import os
import sys
import traceback

import jax
from absl import logging as absl_logging

_RAISES_ONCE_MORE = (
    "orbax/checkpoint/_src/checkpointers/async_checkpointer.py",
    "orbax/checkpoint/_src/futures/future.py",
    "orbax/checkpoint/checkpoint_manager.py",
)


def leave_the_others(status: int, *, tell: bool = False) -> None:
    """End this process at once where it has joined others; else return.

    Before an ordinary end JAX waits minutes for all processes to end, and they wait for
    this one in the next step. Whoever started it is to see at once that it failed.

    Args:
      status: to end with.
      tell: whether to print the exception that is being handled.
    """
    if not jax.distributed.is_initialized():
        return
    if tell:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def let_orbax_raise_in_silence() -> None:
    """Print no traceback of what orbax and gcsfs raise once more.

    It logs what goes wrong in the threads that write, and raises it where the
    checkpoint is waited for: there it becomes one sentence, or a traceback. Writes that
    are still under way then find no event loop that they could report to. Whatever else
    orbax logs is printed.
    """
    usual = sys.unraisablehook

    def speaks(record: logging.LogRecord) -> bool:
        if record.name == "asyncio":  # of tasks that orbax left to it
            return "/orbax/checkpoint/" not in record.getMessage()
        if record.name == "gcsfs":  # its requests, which the caller hears of
            return not record.exc_info
        place = record.pathname.replace(os.sep, "/")
        return not (record.exc_info and place.endswith(_RAISES_ONCE_MORE))

    def hook(unraisable):
        error = unraisable.exc_value
        is_late = isinstance(error, RuntimeError) and "loop is closed" in str(error)
        if not is_late:
            usual(unraisable)

    named = map(logging.getLogger, ("asyncio", "gcsfs"))
    for logger in (absl_logging.get_absl_logger(), *named):
        logger.addFilter(speaks)
    sys.unraisablehook = hook
