"""What commands share: flags, logging, compiled programs, errors as one sentence."""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable

from absl import app, flags

from experiments.cli.flag_values import parse_flags
from experiments.cli.reports import set_up_reports
from vgg_unpool_jax.errors import PreemptedError, UserError
from vgg_unpool_jax.io.paths import cache_folder

# Errors of the system that concern files and folders chosen by the user.
SYSTEM_REFUSALS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)

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
      positional: whether `main` takes the list of arguments that are not flags;
        without it any such argument is an error.
      shares_work: whether several processes may run the command together.
    """

    def guarded(arguments) -> None:
        # Imported here: --help does without JAX, which loads for most of a second.
        import jax

        from vgg_unpool_jax.runtime import compilation_cache, preemption, processes

        if len(arguments) > 1 and not positional:
            raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
        set_up_reports()
        if _CACHE.value:
            os.environ["VGG_UNPOOL_CACHE"] = _CACHE.value
        try:
            processes.join(shares_work=shares_work)
            if _KEEP_COMPILED.value:
                compilation_cache.keep_compiled(cache_folder() / "compiled")
            main(*[arguments[1:]] if positional else [])
        except PreemptedError as error:
            # All processes stop at the same step, so the usual exit does not hang.
            print(error, file=sys.stderr)
            sys.exit(preemption.EXIT_STATUS)
        except Exception as error:
            sentence = _sentence(error) or processes.explain_loss(error)
            if sentence:
                # Threads of orbax may still log this failure: ours is the last line.
                logging.disable()
                print(f"error: {sentence}", file=sys.stderr)
            if jax.distributed.is_initialized():
                if not sentence:
                    traceback.print_exc()
                _exit_without_barrier()
            if sentence:
                sys.exit(1)
            raise

    _list_flags_in_help()
    app.run(guarded, flags_parser=parse_flags)


def _list_flags_in_help() -> None:
    """Make --help show the flags of all modules of `experiments`.

    By default absl shows those of the main module alone.
    """
    for module, found in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("experiments."):
            for flag in found:
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _sentence(error: Exception) -> str | None:
    """What to print about an error; None for a bug, which needs its traceback."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in SYSTEM_REFUSALS:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}"
    return None


def _exit_without_barrier() -> None:
    """End one of several processes with status 1, at once.

    Before an ordinary exit JAX waits minutes for all processes to exit, and they wait
    for this one in the next step.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
