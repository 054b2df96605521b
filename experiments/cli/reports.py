"""What commands log to standard error, one short line each."""

import logging
import sys
import warnings

from absl import logging as absl_logging

from vgg_unpool_jax.errors import first_line


class _Short(logging.Formatter):
    """Prints messages alone, and the first line of a logged exception.

    Orbax logs what fails in its writing threads, and raises it where the checkpoint
    is waited for: there it becomes our sentence, or a traceback.
    """

    def formatMessage(self, record):
        name = "" if record.name.startswith("vgg_unpool_jax") else f"{record.name}: "
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        return f"{level}{name}{record.message}"

    def formatException(self, ei):
        return f"{ei[0].__name__}: {first_line(ei[1])}"


def _report_unraisable(unraisable) -> None:
    """Print what cannot be raised, except late reports to a closed event loop.

    When one request to a bucket fails, orbax closes its event loop, and the requests
    that are still running cannot report to it. The first failure is raised.
    """
    if "loop is closed" not in str(unraisable.exc_value):
        sys.__unraisablehook__(unraisable)


def set_up_reports() -> None:
    """Log progress of this package, and of other libraries warnings and errors."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("vgg_unpool_jax").setLevel(logging.INFO)
    absl_logging.get_absl_handler().setFormatter(_Short())
    warnings.formatwarning = lambda text, *_, **__: f"warning: {text}\n"
    sys.unraisablehook = _report_unraisable
