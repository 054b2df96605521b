"""Names and CRC-32s of what a checkpoint holds."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

PyTree = Any


def leaves_by_name(tree: PyTree) -> Iterator[tuple[str, Any]]:
    """Every leaf under a name that named tuples and dicts spell alike."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield (
            "/".join(
                str(getattr(k, "name", getattr(k, "key", getattr(k, "idx", k))))
                for k in path
            ),
            leaf,
        )


def array_checksums(tree: PyTree) -> dict[str, int]:
    """CRC-32 of every array by its name."""
    return {
        name: zlib.crc32(np.ascontiguousarray(jax.device_get(leaf)))
        for name, leaf in leaves_by_name(tree)
    }


def json_checksum(content: Mapping[str, Any]) -> int:
    """CRC-32 of what JSON says, in whatever order."""
    content = json.loads(json.dumps(content))  # keys that are numbers become text
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def checksums_later(
    tree: PyTree, contents: Mapping[str, Mapping]
) -> Callable[[], dict[str, int]]:
    """Those of arrays and of JSON, to be computed when the function is called.

    Args:
      tree: arrays; they are copied, as the next step gives those of a state away.
      contents: name -> what JSON says.
    """
    if jax.process_index() > 0:  # orbax writes what the first one has
        return dict
    copied = jax.tree.map(lambda leaf: np.array(leaf, copy=True), tree)
    contents = {name: dict(content) for name, content in contents.items()}
    return lambda: (
        array_checksums(copied)
        | {name: json_checksum(content) for name, content in contents.items()}
    )


class LaterJsonHandler(ocp.JsonCheckpointHandler):
    """Writes what a function returns, which is called in orbax's writing thread."""

    async def _save_fn(self, x, directory):
        await super()._save_fn(x(), directory)
