"""What all commands share: logging, compiled programs, errors as one sentence."""

import logging
import os
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

from vgg_unpool_jax import compiled
from vgg_unpool_jax.data import BrokenPhotosError, PhotoError, SourceError
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation import NothingEvaluatedError
from vgg_unpool_jax.objectives.unpooling import WeightsMismatchError
from vgg_unpool_jax.training import preemption
from vgg_unpool_jax.training.checkpoints import CheckpointError
from vgg_unpool_jax.training.trainer import TrainingDivergedError
from vgg_unpool_jax.weights import WeightsError
from vgg_unpool_jax.weights.download import cache_folder

# What a user can mend. Anything else is a fault of the program and keeps its traceback.
USER_ERRORS = (
    BrokenPhotosError,
    CheckpointError,
    ConfigError,
    NothingEvaluatedError,
    PhotoError,
    SourceError,
    TrainingDivergedError,
    WeightsError,
    WeightsMismatchError,
)


_CACHE = flags.DEFINE_string(
    "weights_cache",
    None,
    "Folder for downloaded weights; default is $VGG_UNPOOL_CACHE, else the user cache.",
)
_KEEP_COMPILED = flags.DEFINE_bool(
    "keep_compiled", True, "Keep compiled programs for the next start."
)


def run(main: Callable[..., None], *, positional: bool = False) -> None:
    """Parse flags, run `main`, and end with status 1 and a sentence on user errors.

    A training that was asked to stop by SIGTERM ends with `preemption.EXIT_STATUS`.

    Args:
      main: the command.
      positional: whether it takes the list of the arguments that are no flags; else
        any such argument is an error.
    """

    def guarded(arguments) -> None:
        if len(arguments) > 1 and not positional:
            raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
        # Progress of this package; of the libraries below it only warnings.
        absl_logging.set_verbosity(absl_logging.WARNING)
        logging.getLogger("vgg_unpool_jax").setLevel(logging.INFO)
        if _CACHE.value:
            os.environ["VGG_UNPOOL_CACHE"] = _CACHE.value
        try:
            if _KEEP_COMPILED.value:
                compiled.keep_compiled(cache_folder() / "compiled")
            main(*[arguments[1:]] if positional else [])
        except USER_ERRORS as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except preemption.PreemptedError as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(preemption.EXIT_STATUS)

    app.run(guarded)
