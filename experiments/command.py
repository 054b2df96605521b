"""What all commands share: logging, compiled programs, errors as one sentence."""

import logging
import os
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

from experiments import ending, failures
from vgg_unpool_jax.pretrained.download import cache_folder
from vgg_unpool_jax.runtime import compilation_cache, preemption, processes

_CACHE = flags.DEFINE_string(
    "weights_cache",
    None,
    "Folder for downloaded weights; default is $VGG_UNPOOL_CACHE, else the user cache.",
)
_KEEP_COMPILED = flags.DEFINE_bool(
    "keep_compiled", True, "Keep compiled programs for the next start."
)


def run(
    main: Callable[..., None], *, positional: bool = False, shares_work: bool = False
) -> None:
    """Parse flags, run `main`, and end with status 1 and a sentence on user errors.

    A training that was asked to stop by SIGTERM ends with `preemption.EXIT_STATUS`.

    Args:
      main: the command.
      positional: whether it takes the list of the arguments that are no flags; else
        any such argument is an error.
      shares_work: whether several processes may run it together.
    """

    def guarded(arguments) -> None:
        if len(arguments) > 1 and not positional:
            raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
        # Progress of this package; of the libraries below it only warnings.
        absl_logging.set_verbosity(absl_logging.WARNING)
        logging.getLogger("vgg_unpool_jax").setLevel(logging.INFO)
        if _CACHE.value:
            os.environ["VGG_UNPOOL_CACHE"] = _CACHE.value
        ending.let_orbax_raise_in_silence()
        try:
            processes.join(shares_work=shares_work)
            if _KEEP_COMPILED.value:
                compilation_cache.keep_compiled(cache_folder() / "compiled")
            main(*[arguments[1:]] if positional else [])
        except Exception as error:
            explained = failures.explain(error)
            if explained is None:
                ending.leave_the_others(1, tell=True)
                raise
            sentence, status = explained
            print(sentence, file=sys.stderr)
            if status != preemption.EXIT_STATUS:  # to which all come together
                ending.leave_the_others(status)
            sys.exit(status)

    app.run(guarded)
