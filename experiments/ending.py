"""How a command ends in one process of several."""

import logging
import os
import sys
import traceback

import jax
from absl import logging as absl_logging


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
    """Print no traceback of the threads in which orbax writes.

    Orbax logs what goes wrong there, and raises it once more where the checkpoint is
    waited for: there it becomes one sentence, or a traceback. Writes that are still
    under way then find no event loop that they could report to.
    """
    usual = sys.unraisablehook

    def speaks(record: logging.LogRecord) -> bool:
        # asyncio speaks of what orbax left to it.
        said = f"{record.pathname} {record.getMessage()}".replace(os.sep, "/")
        return not (record.exc_info and "/orbax/checkpoint/" in said)

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            usual(unraisable)

    for logger in (absl_logging.get_absl_logger(), logging.getLogger("asyncio")):
        logger.addFilter(speaks)
    sys.unraisablehook = hook
