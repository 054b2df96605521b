"""Photos to train on, to validate on and to test on, as a config names them."""

from typing import NamedTuple

import ml_collections
import numpy as np

from vgg_unpool_jax.data.cached import CachedSource
from vgg_unpool_jax.data.sources import Source, make_source
from vgg_unpool_jax.data.split import split_indices
from vgg_unpool_jax.errors import ConfigError

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
        (or several), all of its photos are the validation split.

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
    split = split_indices(len(source), config.split_fractions, seed=config.split_seed)
    parts = {name: Split(source, getattr(split, name)) for name in SPLITS}
    # Absent in runs that are older than the field.
    if config.get("validation_source", ""):
        other = make_source(config.validation_source)
        if repr(other) == repr(source):
            raise ConfigError(
                f"data.validation_source and data.source are both {source!r}: training "
                "photos would be validated on; leave the first empty to split it"
            )
        parts["validation"] = Split(other, np.arange(len(other), dtype=np.int64))
    return parts
