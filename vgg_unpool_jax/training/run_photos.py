"""The photos of a run, noted in its workdir and compared at every start.

A split is drawn from the numbers of the photos: with one photo more or less in the
source, another draw would validate and test on photos that were trained on.
"""

import os
import zlib
from collections.abc import Mapping

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.paths import to_path

FILE = "photos.json"


def save(workdir: str | os.PathLike, splits: Mapping[str, Split]) -> None:
    """Note number and names of the photos of each split."""
    found = {name: _describe(split) for name, split in splits.items()}
    json_file.write(to_path(workdir) / FILE, found)


def compare(workdir: str | os.PathLike, splits: Mapping[str, Split]) -> None:
    """Refuse splits of other photos than the run's; a workdir without a note takes any.

    Args:
      workdir: folder of the run.
      splits: photos by the name of their split; splits that are missing here are not
        compared.
    """
    path = to_path(workdir) / FILE
    if not path.exists():
        return
    noted = json_file.read(path)
    for name, split in splits.items():
        found = _describe(split)
        if noted.get(name) != found:
            raise ConfigError(
                f"the {name} photos of {split.source!r} are not those of the run in "
                f"{workdir}: {_list(noted.get(name))} then, {_list(found)} now; bring "
                f"the photos of then back, or delete {path} to mix the splits anew"
            )


def _describe(split: Split) -> dict[str, int]:
    names = "\n".join(split.source.name(int(index)) for index in split.indices)
    return {"photos": len(split.indices), "names_crc32": zlib.crc32(names.encode())}


def _list(described) -> str:
    if not isinstance(described, dict):
        return "none"
    return (
        f"{described.get('photos')} with the CRC {described.get('names_crc32')} of "
        "their names"
    )
