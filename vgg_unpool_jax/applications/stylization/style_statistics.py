"""The statistics that a stylizer needs of a style, and the file that keeps them.

A style is measured once and then serves any number of photos: mean and covariance of
its features at every block, and some of its colours, region by region. The file,
`.safetensors`, has no picture in it.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from vgg_unpool_jax.errors import UserError, require_list
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import read_bytes
from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK, check_block
from vgg_unpool_jax.ops.moments import Moments, merge_sets

PathLike = str | os.PathLike

_KEY = "vgg_unpool_jax_style"
_VERSION = 2
# Names of the arrays of `Moments` in the file.
_FIELDS = ("weight", "mean", "covariance")


@dataclasses.dataclass(frozen=True, eq=False)
class StyleStatistics:
    """Moments of a style's features.

    Attributes:
      names: of its regions; a style without mask has one region, "all".
      moments: block -> `Moments` of the regions, float32.
      encoders: block -> digest of the VGG19 layers that the features come from.
      colors: (regions, samples, 3) float32 RGB in [0, 255], drawn from the pixels.
    """

    names: tuple[str, ...]
    moments: Mapping[int, Moments]
    encoders: Mapping[int, str]
    colors: np.ndarray

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks that it has moments of, coarse to fine."""
        return tuple(sorted(self.moments, reverse=True))

    def areas(self, block: int) -> np.ndarray:
        """Cells of each region on the grid of a block, (regions,) float64."""
        return np.asarray(self.moments[block].count, np.float64)

    @functools.cached_property
    def whole(self) -> Mapping[int, Moments]:
        """Block -> moments of all regions together, as one region."""
        return {block: merge_sets(part) for block, part in self.moments.items()}

    @functools.cached_property
    def whole_colors(self) -> np.ndarray:
        """(samples, 3), the colours of all regions by their areas."""
        areas = self.areas(self.blocks[-1])
        samples = self.colors.shape[1]
        counts = np.round(samples * areas / max(areas.sum(), 1e-9)).astype(int)
        parts = [
            colors[(np.arange(count) * samples) // max(count, 1)]
            for colors, count in zip(self.colors, counts, strict=True)
        ]
        return np.concatenate(parts)

    def write(self, path: PathLike) -> None:
        """Write the file, aside first and then renamed."""
        if not os.fspath(path).endswith(".safetensors"):
            raise UserError(f"a style's file ends in .safetensors, got {path}")
        tensors = {
            f"block{block}/{field}": np.ascontiguousarray(array, np.float32)
            for block, moments in self.moments.items()
            for field, array in zip(_FIELDS, moments, strict=True)
        }
        tensors["colors"] = np.ascontiguousarray(self.colors, np.float32)
        description = {
            "version": _VERSION,
            "names": list(self.names),
            "encoders": {str(block): self.encoders[block] for block in self.blocks},
        }
        # One entry: safetensors writes several in an order that changes every time.
        data = safetensors.numpy.save(tensors, {_KEY: json.dumps(description)})
        with replacing(path) as file:
            file.write(data)


def read_style(path: PathLike) -> StyleStatistics:
    """Read a file that `StyleStatistics.write` wrote."""
    try:
        data = read_bytes(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"style {path} cannot be read: {reason}") from error
    try:
        tensors = safetensors.numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"style {path} is damaged or no .safetensors file") from error
    if _KEY not in metadata:
        raise UserError(f"{path} is a .safetensors file, but not that of a style")
    try:
        description = json.loads(metadata[_KEY])
        version = description["version"]
        if version == _VERSION:
            return _assembled(description, tensors)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"style {path} is damaged: {error}") from error
    raise UserError(
        f"style {path} has version {version} of its format, this program reads "
        f"{_VERSION}: write the style again"
    )


def _assembled(description, tensors) -> StyleStatistics:
    require_list("names", description["names"])
    names = tuple(str(name) for name in description["names"])
    encoders = {check_block(int(b)): d for b, d in description["encoders"].items()}
    moments, count = {}, len(names)
    for block in encoders:
        channels = CHANNELS_PER_BLOCK[block - 1]
        shapes = (count,), (count, channels), (count, channels, channels)
        parts = [tensors[f"block{block}/{field}"] for field in _FIELDS]
        for field, part, shape in zip(_FIELDS, parts, shapes, strict=True):
            if part.shape != shape or not np.isfinite(part).all():
                raise ValueError(
                    f"block{block}/{field} must be finite with shape {shape}, got "
                    f"{part.shape}"
                )
        moments[block] = Moments(*parts)
    if not moments or not names:
        raise ValueError("it has no region or no block")
    colors = tensors["colors"]
    if colors.shape != (count, *colors.shape[1:2], 3) or not (
        np.isfinite(colors).all() and colors.shape[1]
    ):
        raise ValueError(
            f"colors must be finite with shape ({count}, samples, 3), got "
            f"{colors.shape}"
        )
    return StyleStatistics(names, moments, encoders, colors)
