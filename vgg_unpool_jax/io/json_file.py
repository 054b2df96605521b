"""JSON files that hold one object."""

import json
import os
from typing import Any

from vgg_unpool_jax.errors import ConfigError, UserError, first_line
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.io.atomic import replacing


def read(
    path: str | os.PathLike,
    what: str = "a JSON object",
    *,
    refusal: type[UserError] = ConfigError,
) -> dict[str, Any]:
    """Read a JSON object, or refuse the file in one sentence.

    Args:
      path: local or gs://.
      what: what the file is expected to be, with an article, such as "a result file".
      refusal: class of the error.

    Returns:
      The object.

    Raises:
      UserError: the file is missing, cannot be read or holds no JSON object.
    """
    try:
        content = json.loads(paths.read_bytes(paths.to_path(path)).decode("utf-8"))
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise refusal(f"{path} cannot be read: {reason}") from error
    # RecursionError: brackets nested thousands deep.
    except (ValueError, RecursionError) as error:
        raise refusal(f"{path} is not {what}: {first_line(error)}") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise refusal(f"{path} is not {what}: it holds a {kind}")
    return content


def write(
    path: str | os.PathLike, content: dict[str, Any], *, sort_keys: bool = False
) -> None:
    """Write a JSON file aside and rename it.

    Args:
      path: local or gs://; missing folders are made, an existing file is replaced.
      content: dicts with string keys, lists, strings, numbers, booleans and None.
      sort_keys: whether the keys are sorted; else they stay in order.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=sort_keys)
    with replacing(path) as file:
        file.write(f"{text}\n".encode())
