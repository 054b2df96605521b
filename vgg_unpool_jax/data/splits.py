"""Photos to train on, to validate on and to test on, as a config names them."""

import os
import pathlib
from typing import NamedTuple

import ml_collections
import numpy as np

from vgg_unpool_jax.data.cached import CachedSource
from vgg_unpool_jax.data.sources import Source, make_source, overlap
from vgg_unpool_jax.data.split import split_groups, split_indices
from vgg_unpool_jax.errors import ConfigError, first_line
from vgg_unpool_jax.io.paths import to_path

SPLITS = ("train", "validation", "test")


class Split(NamedTuple):
    """Some photos of a source.

    Attributes:
      source: where they come from.
      indices: their numbers there, int64 (count,).
    """

    source: Source
    indices: np.ndarray


def open_splits(config: ml_collections.ConfigDict) -> dict[str, Split]:
    """Open the photos of an experiment.

    Args:
      config: the section `data` of its config. If `validation_source` names a source
        (or several), all of its photos are the validation split. If `identities` names
        a file, the people of `source` are split instead of its photos.

    Returns:
      A split for each name in SPLITS; any of them may be empty.
    """
    source = make_source(config.source)
    # Absent in runs that are older than the field.
    megabytes = config.get("cache_megabytes", 0)
    if megabytes < 0:
        raise ConfigError(f"data.cache_megabytes must be at least 0, got {megabytes}")
    if megabytes:
        source = CachedSource(source, megabytes)
    options = {"fractions": config.split_fractions, "seed": config.split_seed}
    if config.get("identities", ""):
        split = split_groups(read_identities(config.identities, source), **options)
    else:
        split = split_indices(len(source), **options)
    parts = {name: Split(source, getattr(split, name)) for name in SPLITS}
    # Absent in runs that are older than the field.
    if config.get("validation_source", ""):
        other = make_source(config.validation_source)
        if found := overlap(source, other):
            raise ConfigError(
                f"data.validation_source and data.source both hold {found}: training "
                "photos would be validated on; empty the first to split the second"
            )
        parts["validation"] = Split(other, np.arange(len(other), dtype=np.int64))
    return parts


def read_identities(path: str | os.PathLike, source: Source) -> list[str]:
    """The person on each photo of a source.

    Args:
      path: a text file with a line "NAME PERSON" for each photo, NAME without folders,
        as CelebA's identity_CelebA.txt.
      source: the photos.
    """
    try:
        lines = to_path(path).read_text(encoding="utf-8").splitlines()
        people = dict(line.split() for line in lines if line.strip())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"data.identities {path} cannot be read as lines of a file name and a "
            f"person ({first_line(error)})"
        ) from error
    names = [pathlib.PurePath(source.name(i)).name for i in range(len(source))]
    missing = [name for name in names if name not in people]
    if missing:
        raise ConfigError(
            f"data.identities {path} names nobody for {len(missing)} of the "
            f"{len(names)} photos of {source!r}, the first of which is {missing[0]}"
        )
    return [people[name] for name in names]
