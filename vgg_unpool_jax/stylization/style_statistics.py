"""What a style is to a stylizer, and the file that keeps it.

A style is computed once and then serves any number of photos: mean and covariance of
its features at every level, region by region. The file, `.safetensors`, has no picture
in it.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.files import replacing
from vgg_unpool_jax.models.vgg19_layers import CHANNELS_PER_BLOCK
from vgg_unpool_jax.places import read_bytes
from vgg_unpool_jax.stylization.moments import Moments, merge_regions

PathLike = str | os.PathLike

_FORMAT = "vgg_unpool_jax style"
_VERSION = "1"


class StyleError(ConfigError):
    """A style that cannot be used; one sentence says which and why."""


@dataclasses.dataclass(frozen=True, eq=False)
class StyleStatistics:
    """Moments of a style's features.

    Attributes:
      names: of its regions; one of them, "all", where it has no mask.
      moments: block -> `Moments` of the regions, float32.
      encoders: block -> digest of the VGG19 layers that the features come from.
    """

    names: tuple[str, ...]
    moments: Mapping[int, Moments]
    encoders: Mapping[int, str]

    @property
    def levels(self) -> tuple[int, ...]:
        """Blocks that it has moments of, coarse to fine."""
        return tuple(sorted(self.moments, reverse=True))

    def areas(self) -> np.ndarray:
        """Cells of each region on the coarsest grid, (regions,) float64."""
        return np.asarray(self.moments[self.levels[0]].weight, np.float64)

    @functools.cached_property
    def whole(self) -> Mapping[int, Moments]:
        """Block -> moments of all regions together, as one region."""
        return {block: merge_regions(part) for block, part in self.moments.items()}

    def write(self, path: PathLike) -> None:
        """Write the file, aside first and then renamed.

        Raises:
          StyleError: for a name that does not end in .safetensors.
          OSError: when it cannot be written.
        """
        if not os.fspath(path).endswith(".safetensors"):
            raise StyleError(f"a style's file ends in .safetensors, got {path}")
        tensors = {
            f"block{block}/{field}": np.ascontiguousarray(array, np.float32)
            for block, moments in self.moments.items()
            for field, array in moments._asdict().items()
        }
        metadata = {
            "format": _FORMAT,
            "version": _VERSION,
            "names": json.dumps(list(self.names)),
            "encoders": json.dumps({str(b): d for b, d in self.encoders.items()}),
        }
        data = safetensors.numpy.save(tensors, metadata)
        with replacing(path) as file:
            file.write(data)


def read_style(path: PathLike) -> StyleStatistics:
    """Read what `StyleStatistics.write` wrote.

    Raises:
      StyleError: when it is missing, damaged, or another kind of file.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StyleError(f"style {path} cannot be read: {reason}") from error
    try:
        tensors = safetensors.numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise StyleError(f"style {path} is damaged or no .safetensors file") from error
    if metadata.get("format") != _FORMAT:
        raise StyleError(f"{path} is a .safetensors file, but not that of a style")
    if metadata.get("version") != _VERSION:
        raise StyleError(
            f"style {path} has version {metadata.get('version')} of its format, this "
            f"program reads {_VERSION}: write the style anew"
        )
    try:
        return _assembled(metadata, tensors)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StyleError(f"style {path} is damaged: {error}") from error


def _assembled(metadata, tensors) -> StyleStatistics:
    names = tuple(json.loads(metadata["names"]))
    encoders = {int(b): str(d) for b, d in json.loads(metadata["encoders"]).items()}
    moments, count = {}, len(names)
    for block in encoders:
        channels = CHANNELS_PER_BLOCK[block - 1]
        shapes = (count,), (count, channels), (count, channels, channels)
        parts = [tensors[f"block{block}/{field}"] for field in Moments._fields]
        for field, part, shape in zip(Moments._fields, parts, shapes, strict=True):
            if part.shape != shape or not np.isfinite(part).all():
                raise ValueError(
                    f"block{block}/{field} must be finite with shape {shape}, got "
                    f"{part.shape}"
                )
        moments[block] = Moments(*parts)
    if not moments or not names:
        raise ValueError("it has no region or no level")
    return StyleStatistics(names, moments, encoders)
