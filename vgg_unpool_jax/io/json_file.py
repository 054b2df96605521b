"""Files that hold one JSON object."""

import json
import os
from typing import Any

from vgg_unpool_jax.errors import ConfigError, first_line
from vgg_unpool_jax.io.paths import read_bytes


def read(path: str | os.PathLike, what: str) -> dict[str, Any]:
    """Read a JSON object, or refuse the file in one sentence.

    Args:
      path: local or gs://.
      what: the file is expected to be, with an article, such as "a result file".
    """
    try:
        content = json.loads(read_bytes(path).decode(), parse_constant=_refuse)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise ConfigError(f"{path} cannot be read ({reason})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not {what}: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not {what}: it holds no JSON object")
    return content


def _refuse(constant: str) -> None:
    # Python reads and writes infinity and NaN, which JSON does not have.
    raise ValueError(f"{constant} is no JSON")
