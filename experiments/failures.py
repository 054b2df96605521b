"""Which failures are a user's to mend: the sentence and the exit status of each."""

import errno

from vgg_unpool_jax.errors import PreemptedError, UserError
from vgg_unpool_jax.runtime import preemption, processes

# What the system says of files and folders that the user chose.
SYSTEM_REFUSALS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)


def explain(error: Exception) -> tuple[str, int] | None:
    """What a command says of an error, and its exit status.

    Args:
      error: that ended the command.

    Returns:
      One sentence for standard error and 1, or `preemption.EXIT_STATUS` for a training
      that was asked to stop; None for a fault of the program, which keeps its
      traceback.
    """
    if isinstance(error, PreemptedError):
        return str(error), preemption.EXIT_STATUS
    if isinstance(error, UserError):
        return f"error: {error}", 1
    if isinstance(error, OSError) and error.errno in SYSTEM_REFUSALS:
        place = f"{error.filename}: " if error.filename else ""
        return f"error: {place}{error.strerror}", 1
    lost = processes.explain_loss(error)
    if lost is not None:
        return f"error: {lost}", 1
    return None
