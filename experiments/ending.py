"""How a command ends in one process of several."""

import os
import sys
import traceback

import jax


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
