"""Which failures are a user's to mend: the sentence and the exit status of each."""

import errno

from vgg_unpool_jax.data import (
    BrokenPhotosError,
    PhotoError,
    ReaderProcessError,
    SourceError,
)
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation import NothingEvaluatedError
from vgg_unpool_jax.objectives.unpooling import WeightsMismatchError
from vgg_unpool_jax.places import RemoteError
from vgg_unpool_jax.training import preemption, processes
from vgg_unpool_jax.training.checkpoints import CheckpointError
from vgg_unpool_jax.training.trainer import TrainingDivergedError
from vgg_unpool_jax.weights import WeightsError

USER_ERRORS = (
    BrokenPhotosError,
    CheckpointError,
    ConfigError,
    NothingEvaluatedError,
    PhotoError,
    processes.ProcessesError,
    ReaderProcessError,
    RemoteError,
    SourceError,
    TrainingDivergedError,
    WeightsError,
    WeightsMismatchError,
)
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
    if isinstance(error, preemption.PreemptedError):
        return str(error), preemption.EXIT_STATUS
    if isinstance(error, USER_ERRORS):
        return f"error: {error}", 1
    if isinstance(error, OSError) and error.errno in SYSTEM_REFUSALS:
        place = f"{error.filename}: " if error.filename else ""
        return f"error: {place}{error.strerror}", 1
    lost = processes.explain_loss(error)
    if lost is not None:
        return f"error: {lost}", 1
    return None
