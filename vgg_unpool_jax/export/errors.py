"""What can go wrong between this package and others, one sentence for the user each."""

import importlib
import os
from types import ModuleType

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.weights.errors import first_line


class ExportError(ConfigError):
    """A pair cannot be exported, or what was named cannot be imported."""


def import_optional(module: str, package: str, what: str) -> ModuleType:
    """Import a package that is no requirement of this one.

    Args:
      module: what to import, such as "tensorflow".
      package: what to install for it, such as "tensorflow-cpu".
      what: what needs it, the subject of the sentence.

    Returns:
      The module.

    Raises:
      ExportError: it cannot be imported; the sentence says what to install.
    """
    try:
        return importlib.import_module(module)
    # OSError: an installation whose shared libraries do not load.
    except (ImportError, OSError) as error:
        raise ExportError(
            f"{what} needs {package}, which cannot be imported ({first_line(error)}): "
            f"run `pip install {package}`"
        ) from error


def import_tensorflow(what: str) -> ModuleType:
    """Import TensorFlow, with its notices off.

    Args:
      what: what needs it, the subject of the sentence.

    Raises:
      ExportError: it cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return import_optional("tensorflow", "tensorflow-cpu", what)
