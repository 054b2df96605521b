"""One file format for the trained parameters of any system.

A release is a `.safetensors` file. Its arrays are the variables of a model under names
such as "params/block1_conv1/kernel", in a dtype of `storage`; its metadata hold one
JSON object under the key "vgg_unpool_jax":

| key | value |
|---|---|
| `format_version` | 3 |
| `system` | as in `config.system` |
| `config` | of the training run; paths are reduced to file names |
| `step` | number of training steps |
| `dtype` | of the stored parameters |
| `pretrained` | of the pretrained weights that it was trained with; may be empty |
| `arrays_sha256` | digest of the stored arrays |
| `facts` | training photos, hardware, hours, licence and the like |

`pretrained` has `origin`, `sha256` of the file, `preprocessing`, and `layers_sha256` of
the layers that the model uses: other files with the same layers will do.

Versions 1 and 2 are of unpooling decoders alone and are read as version 3.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import safetensors.numpy

from vgg_unpool_jax.errors import ReleaseError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import read_bytes, to_path
from vgg_unpool_jax.releases import storage

SUFFIX = ".safetensors"
KEY = "vgg_unpool_jax"
FORMAT_VERSION = 3

_OLD_KEY = "vgg_unpool_jax_decoder"
_OLD_VERSIONS = (1, 2)
_FIELDS = {
    "system": str,
    "config": dict,
    "step": int,
    "dtype": str,
    "pretrained": dict,
    "arrays_sha256": str,
    "facts": dict,
}
_SLASH = re.compile("/").finditer
# Several photo sources are separated by commas; see `data.sources`.
_COMMA = re.compile(r",(?=folder:|zip:|tfds:|samples)")


@dataclasses.dataclass(frozen=True, eq=False)
class Release:
    """The content of a release.

    Attributes:
      variables: collection -> layer -> float32 array.
      metadata: as in the table of this module.
    """

    variables: Mapping[str, Any]
    metadata: Mapping[str, Any]


def write(
    path: str | os.PathLike,
    variables: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    step: int,
    pretrained: Mapping[str, str] | None = None,
    dtype: str = "float32",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write trained parameters into one file.

    Args:
      path: the file, ending in `.safetensors`; an existing one is replaced.
      variables: collection -> layer -> array, such as "params" and "statistics".
      config: of the training run, with `system`.
      step: number of training steps.
      pretrained: see the table of this module.
      dtype: of the stored parameters, one of `storage.DTYPES`.
      facts: JSON-ready facts for the users of the file.
    """
    path = to_path(path)
    if path.suffix != SUFFIX:
        raise ReleaseError(f"the file of a release must end in {SUFFIX}, got {path}")
    import flax.traverse_util

    arrays = storage.pack(flax.traverse_util.flatten_dict(variables, sep="/"), dtype)
    metadata = {
        "format_version": FORMAT_VERSION,
        "system": config["system"],
        "config": _map_strings(config, without_folders),
        "step": int(step),
        "dtype": dtype,
        "pretrained": _map_strings(pretrained or {}, without_folders),
        "arrays_sha256": storage.digest(arrays),
        "facts": dict(facts or {}),
    }
    try:
        # Not sorted: facts are shown in the order in which they were given.
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ReleaseError(
            f"config and facts of {path} cannot be written as JSON "
            f"({first_line(error)})"
        ) from error
    with replacing(path) as file:
        file.write(safetensors.numpy.save(arrays, {KEY: text}))


def read(path: str | os.PathLike) -> Release:
    """Read a release and check its arrays against their digest.

    Whether they fit a model is checked by the system that loads them.

    Args:
      path: the file; `index.find` finds the one of a name.
    """
    content = _content(path)
    metadata = _parse(path, content)
    try:
        arrays = safetensors.numpy.load(content)
    # safetensors reports damage by exceptions of several classes without a base.
    except Exception as error:
        raise ReleaseError(
            f"{path} cannot be read as a safetensors file, it is damaged or incomplete "
            f"({first_line(error)})"
        ) from error
    if storage.digest(arrays) != metadata["arrays_sha256"]:
        raise ReleaseError(
            f"{path} was changed after it was written: its arrays do not have the "
            "SHA-256 of its metadata"
        )
    variables = storage.unpack(path, arrays)
    import flax.traverse_util

    groups = {name[: cut.start()] for name in variables for cut in _SLASH(name)}
    if groups & variables.keys():
        raise ReleaseError(
            f"{path} is no released model: one of its arrays has the name of a group"
        )
    return Release(flax.traverse_util.unflatten_dict(variables, sep="/"), metadata)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """The metadata of a release; see the table of this module."""
    return _parse(path, _content(path))


def _content(path: str | os.PathLike) -> bytes:
    try:
        return read_bytes(to_path(path))
    except OSError as error:
        raise ReleaseError(
            f"the released model {path} cannot be read "
            f"({error.strerror or first_line(error)})"
        ) from error


def _parse(path: str | os.PathLike, content: bytes) -> dict[str, Any]:
    """Read the metadata; a safetensors file begins with the length of a JSON header."""
    length = int.from_bytes(content[:8], "little")
    try:
        strings = json.loads(content[8 : 8 + length])["__metadata__"]
        metadata = json.loads(strings.get(KEY) or strings[_OLD_KEY])
        version = metadata["format_version"]
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as e:
        raise ReleaseError(
            f"{path} is no released model of vgg_unpool_jax: it is no safetensors file "
            f"with metadata under {KEY!r}"
        ) from e
    if KEY not in strings and version in _OLD_VERSIONS:
        metadata = _upgrade(metadata)
    elif version != FORMAT_VERSION:
        raise ReleaseError(
            f"{path} has the format version {version!r}, and this vgg_unpool_jax reads "
            f"up to {FORMAT_VERSION}: a newer release of it may read the file"
        )
    for field, kind in _FIELDS.items():
        if not isinstance(metadata.get(field), kind):
            raise ReleaseError(f"the metadata of {path} have no {field} of use")
    return metadata


def _upgrade(old: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of version 1 or 2 in the form of version 3."""
    kept = {key: old.get(key) for key in _FIELDS if key in old}
    record = old.get("vgg19")
    if isinstance(record, dict):
        record = {**record, "layers_sha256": old.get("encoder_sha256")}
    return {
        "format_version": FORMAT_VERSION,
        "system": "unpooling",
        **kept,
        "pretrained": record,
    }


def without_folders(value: str) -> str:
    """Reduce paths to their last part: "folder:/home/me/photos" -> "folder:photos".

    Args:
      value: a path, a photo source or several. Strings without slashes and the names
        of TFDS data sets stay as they are.
    """
    return ",".join(_last_part(piece) for piece in _COMMA.split(value))


def _last_part(value: str) -> str:
    kind, path = re.fullmatch(r"(\w+:)?(.*)", value, re.DOTALL).groups(default="")
    return (
        value if kind == "tfds:" else kind + re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    )


def _map_strings(tree: Any, change: Callable[[str], str]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _map_strings(tree[key], change) for key in tree}
    if isinstance(tree, list | tuple):
        return [_map_strings(item, change) for item in tree]
    return change(tree) if isinstance(tree, str) else tree
