"""What stands in the metadata of a released decoder, as one JSON object.

| key | value |
|---|---|
| `format_version` | 2 where the dtype is "int8", else 1 |
| `block` | 1 to 5 |
| `config` | of the training run, its paths cut down to names |
| `vgg19` | `origin`, `sha256` (of the file) and `preprocessing` of the VGG19 weights |
| `encoder_sha256` | `arrays_sha256` of the encoder's layers up to blockX_conv2 |
| `step` | number of training steps |
| `dtype` | of the stored parameters; `storage` has the table |
| `arrays_sha256` | of the stored variables, against damage |
| `facts` | what else its maker tells: training photos, hardware, hours, results |
"""

import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import safetensors

from vgg_unpool_jax.errors import ReleaseError, first_line
from vgg_unpool_jax.pretrained.vgg19 import PREPROCESSINGS

# Files that releases before version 2 can read are still written so that they do.
FORMAT_VERSIONS = (1, 2)
METADATA_KEY = "vgg_unpool_jax_decoder"

_FIELDS = {
    "block": int,
    "config": dict,
    "vgg19": dict,
    "encoder_sha256": str,
    "step": int,
    "dtype": str,
    "arrays_sha256": str,
    "facts": dict,
}
# Specs of several sources have commas between; see `data.sources`.
_COMMA = re.compile(r",(?=folder:|zip:|tfds:|samples)")
_SPEC = re.compile(r"(^|,)(folder|zip):")
_ABSOLUTE = re.compile(r"^/|(^|[\s'\"(=,;:])(/[^\s/]+/|~/|[A-Za-z]:\\|file://)")


def render(
    *,
    config: Mapping[str, Any],
    vgg19: Mapping[str, str],
    facts: Mapping[str, Any],
    **others: Any,
) -> str:
    """Write metadata as JSON, without paths of the machine.

    Args:
      config: what looks like a path in it is cut down to its last part; likewise in
        `vgg19`.
      vgg19: the record of the weights.
      facts: in the types of JSON. Photo sources ("folder:PATH") are cut down as well;
        paths in other texts are refused, since these are for people to read.
      **others: the other keys of the module's table but `format_version`.
    """
    metadata = {
        "format_version": _version(others["dtype"]),
        **others,
        "config": _map_strings(config, without_folders),
        "vgg19": _map_strings(vgg19, without_folders),
        "facts": _checked_facts(facts),
    }
    # Not sorted: facts are shown in the order in which they were given.
    return json.dumps(metadata, ensure_ascii=False)


def parse(path: str | os.PathLike, strings: Mapping[str, str]) -> dict[str, Any]:
    """Read what `render` wrote.

    Args:
      path: the file, for messages.
      strings: all metadata of it.
    """
    text = strings.get(METADATA_KEY)
    if text is None:
        raise ReleaseError(
            f"{path} is no released decoder: its metadata have no {METADATA_KEY!r}"
        )
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"the metadata of {path} are no JSON") from error
    check_version("the metadata", path, metadata, *FORMAT_VERSIONS)
    for field, kind in _FIELDS.items():
        if not isinstance(metadata.get(field), kind):
            raise ReleaseError(f"the metadata of {path} have no {field} of use")
    version, dtype = metadata["format_version"], metadata["dtype"]
    if version != _version(dtype):
        raise ReleaseError(
            f"the metadata of {path} disagree about the dtype: {dtype!r} is of the "
            f"format version {_version(dtype)}, and they say {version}"
        )
    encoder = metadata["config"].get("encoder")
    if not isinstance(encoder, dict) or encoder.get("block") != metadata["block"]:
        raise ReleaseError(f"the metadata of {path} disagree about the block")
    if not isinstance(metadata["config"].get("decoder"), dict):
        raise ReleaseError(f"the config in {path} has no section decoder")
    record = metadata["vgg19"]
    texts = [record.get(key) for key in ("origin", "sha256", "preprocessing")]
    if (
        not all(isinstance(t, str) and t.isprintable() for t in texts)
        or texts[2] not in PREPROCESSINGS
    ):
        raise ReleaseError(f"the metadata of {path} have no vgg19 of use")
    return metadata


def read_metadata(path: pathlib.Path) -> dict[str, Any]:
    """The metadata of a decoder's file, without its arrays.

    Args:
      path: a local file that exists.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            strings = file.metadata() or {}
    # safetensors answers damage with errors of several classes.
    except Exception as error:
        raise ReleaseError(
            f"{path} cannot be read as a safetensors file, it is damaged or incomplete "
            f"({first_line(error)})"
        ) from error
    return parse(path, strings)


def check_version(what: str, path: str | os.PathLike, tree: Any, *wanted: int) -> None:
    """Refuse what another version of this library wrote.

    Args:
      what: is read there, in the plural, for messages.
      path: the file, for messages.
      tree: what JSON said there.
      *wanted: the format versions that can be read.
    """
    version = tree.get("format_version") if isinstance(tree, dict) else None
    if version is None:
        raise ReleaseError(f"{what} of {path} name no format version")
    # True is 1 to Python.
    if isinstance(version, bool) or version not in wanted:
        readable = " and ".join(map(str, wanted))
        is_newer = isinstance(version, int) and version > max(wanted)
        advice = "a newer" if is_newer else "another"
        raise ReleaseError(
            f"{path} has the format version {version!r}, and this vgg_unpool_jax reads "
            f"{readable} only: {advice} release of it may read the file"
        )


def _version(dtype: str) -> int:
    return 2 if dtype == "int8" else 1


def without_folders(value: str) -> str:
    """Cut paths down to their last part: "folder:/home/me/photos" -> "folder:photos".

    Args:
      value: a path, a photo source or several, or any string without slashes, which
        stays as it is; so does the name of a TFDS data set.
    """
    return ",".join(_last_part(piece) for piece in _COMMA.split(value))


def _last_part(value: str) -> str:
    kind, path = re.fullmatch(r"(\w+:)?(.*)", value, re.DOTALL).groups(default="")
    return (
        value if kind == "tfds:" else kind + re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    )


def _map_strings(tree: Any, change: Callable[[str], str]) -> Any:
    """The same tree with changed strings; keys of mappings stay."""
    if isinstance(tree, Mapping):
        return {key: _map_strings(tree[key], change) for key in tree}
    if isinstance(tree, list | tuple):
        return [_map_strings(item, change) for item in tree]
    return change(tree) if isinstance(tree, str) else tree


def _checked_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    try:
        copy = json.loads(json.dumps(dict(facts), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ReleaseError(
            f"the facts cannot be written as JSON ({first_line(error)})"
        ) from error
    copy = _map_strings(copy, lambda t: without_folders(t) if _SPEC.search(t) else t)
    for text in _strings(copy):
        if _ABSOLUTE.search(text):
            raise ReleaseError(
                f"the facts name a path of this machine, {text!r}, which means nothing "
                "on another: say what is there"
            )
    return copy


def _strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        tree = [*tree.keys(), *tree.values()]
    if isinstance(tree, list):
        for item in tree:
            yield from _strings(item)
    elif isinstance(tree, str):
        yield tree
