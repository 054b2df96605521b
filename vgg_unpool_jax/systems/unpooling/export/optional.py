"""Packages that exports need and training does not."""

import importlib
import os
from types import ModuleType

from vgg_unpool_jax.errors import UserError, first_line


def import_optional(module: str, package: str, what: str) -> ModuleType:
    """Import a package that is not a requirement of this one.

    Args:
      module: to import, such as "tensorflow".
      package: to install for it, such as "tensorflow-cpu".
      what: the task that needs it, as the subject of the message.

    Returns:
      The module.
    """
    try:
        return importlib.import_module(module)
    # OSError: an installation whose shared libraries do not load.
    except (ImportError, OSError) as error:
        raise UserError(
            f"{what} needs {package}, which cannot be imported ({first_line(error)}): "
            f"run `pip install {package}`"
        ) from error


def import_tensorflow(what: str) -> ModuleType:
    """Import TensorFlow without its notices.

    Args:
      what: the task that needs it, as the subject of the message.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return import_optional("tensorflow", "tensorflow-cpu", what)
