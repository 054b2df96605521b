"""Trained colourisation networks ready to use from other code.

Photos are RGB in [0, 255], any real dtype; of coloured ones the luminance is taken.
Results are float32.
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.data.bicubic import resize_bicubic
from vgg_unpool_jax.errors import ConfigError, require_image
from vgg_unpool_jax.evaluation.evaluator import Evaluation, evaluate_split
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.ops.lab import rgb_to_lab
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.colorization.guided import upsample_chroma
from vgg_unpool_jax.systems.colorization.model import OUTPUT_SCALE
from vgg_unpool_jax.systems.colorization.objective import (
    MEAN_COLOR,
    STATISTICS,
    from_config,
    to_rgb,
)
from vgg_unpool_jax.systems.colorization.report import ColorizationReport
from vgg_unpool_jax.systems.colorization.strokes import spread_strokes
from vgg_unpool_jax.systems.saved import Exported, read_saved
from vgg_unpool_jax.training import run_config

# Longest side at which colours are predicted, in shorter ones.
_LONGEST = 8
# Rows of a photo that get their colours at a time.
_ROWS = 512


class TrainedColorizer(Exported, Recompiled):
    """A colourisation network with its parameters; make one with `load_colorizer`.

    Attributes:
      config: of the training run.
      model: the trained Flax module.
      variables: its variables, and the statistics of the training photos.
      step: number of training steps.
      record: of the pretrained weights of `vgg16` or `vgg19`, else empty.
      pretrained: the same for a release.
      crop: the crop of evaluation, see `data/crops`.
      image_size: side of the crops of evaluation; photos are coloured at a size of
        this shorter side, and the colours follow the edges of the photo.
      error_gain: factor by which pictures amplify its errors.
      takes_hints: whether it can be told colours.
      tiles: large photos need no tiles.
    """

    error_gain = ColorizationReport.error_gain
    tiles = False

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        variables: Mapping[str, Any],
        step: int,
        record: Mapping[str, Any] | None = None,
    ):
        """Put module and parameters together."""
        self.config, self.step = config, step
        self.crop = config.evaluation.crop
        self.image_size = config.evaluation.image_size
        self._objective = from_config(config, record)
        self.model, self.record = self._objective.model, self._objective.record
        self.pretrained = self._objective.pretrained
        self.takes_hints = self._objective.takes_hints
        self.variables = tree_on_device(dict(variables))

    def describe(self) -> str:
        """One line for a report."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))
        return (
            f"colourisation network {self.config.model.name} of {count:,} trained "
            f"parameters, after {self.step} steps"
        )

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """The photo itself."""
        return photo

    def colorize(
        self, photo, *, hints=None, saturation: float = 1.0, size: int | None = None
    ) -> np.ndarray:
        """Give a photo colours; its luminance stays.

        Args:
          photo: (h, w, 3) RGB in [0, 255], any size.
          hints: (h, w, 4) uint8 RGBA of the photo's size: colours where alpha is not
            0, which spread over neighbours of a similar luminance; None for none.
          saturation: factor on a and b.
          size: shorter side in pixels at which colours are predicted; None for
            `image_size`.

        Returns:
          (h, w, 3) float32 in [0, 255]. Where sRGB lacks the colour at this luminance,
          the chroma is less.
        """
        photo = np.asarray(photo)
        require_image("photo", photo, 3)
        check_photo_range("photo", photo)
        if not 0 <= saturation <= 10:
            raise ConfigError(f"saturation must lie in [0, 10], got {saturation}")
        working = self._working_size(photo.shape[:2], size)
        low = resize_bicubic(photo.astype(np.float32), *working)
        low = self._jitted_luminance(np.clip(low, 0, 255).astype(np.float32))
        known = self._known(hints, photo.shape[:2], working)
        chroma = self._jitted_predict(self.variables, low[None], known)
        if known is not None and known[..., 2].any():
            cells = low.reshape(
                known.shape[1], OUTPUT_SCALE, known.shape[2], OUTPUT_SCALE
            )
            cells = np.asarray(cells).mean(axis=(1, 3))
            chroma = spread_strokes(np.asarray(chroma)[0], known[0], cells)[None]
        luminance = self._jitted_luminance(photo.astype(np.float32))
        chroma = self._jitted_upsample(saturation * chroma, luminance[None])[0]
        strips = [slice(n, n + _ROWS) for n in range(0, len(photo), _ROWS)]
        parts = [self._jitted_rgb(luminance[s], chroma[s]) for s in strips]
        return np.concatenate([np.asarray(part) for part in parts])

    def reconstruct(self, images) -> np.ndarray:
        """Colour images (n, h, w, 3), one by one."""
        return np.stack([self.colorize(image) for image in np.asarray(images)])

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """Colour a photo."""
        del tiling
        return self.colorize(photo)

    def evaluate(self, split: Split, **options) -> Evaluation:
        """Evaluate over photos, as `colorize` colours them.

        Args:
          split: the photos.
          **options: of `evaluation/evaluator.evaluate_split`.
        """

        def compute_outputs(batch):
            photos = np.asarray(batch["image"], np.float32)
            gray = np.stack([self._paint(photo, (0.0, 0.0)) for photo in photos])
            mean_ab = np.asarray(self.variables[STATISTICS]["mean_ab"])
            mean = np.stack([self._paint(photo, mean_ab) for photo in photos])
            colored = self.reconstruct(photos)
            outputs = {INPUT: gray, OUTPUT: colored, TARGET: photos, MEAN_COLOR: mean}
            return {name: on_device(array) for name, array in outputs.items()}

        options = {"image_size": self.image_size, "crop": self.crop, **options}
        return evaluate_split(
            compute_outputs,
            ColorizationReport(self._objective),
            split.source,
            split.indices,
            **options,
        )

    def _paint(self, photo: np.ndarray, ab) -> np.ndarray:
        """The photo's luminance with one a and b everywhere."""
        luminance = self._jitted_luminance(photo)
        chroma = np.broadcast_to(np.float32(ab), (*photo.shape[:2], 2))
        return np.asarray(self._jitted_rgb(luminance, chroma))

    def _working_size(self, size: tuple[int, int], shorter: int | None):
        shorter = self.image_size if shorter is None else shorter
        multiple = self._objective.multiple
        if shorter < multiple:
            raise ConfigError(f"size must be at least {multiple}, got {shorter}")
        # A strip is not enlarged to a strip that fills the memory.
        factor = min(shorter / min(size), _LONGEST * shorter / max(size))
        return tuple(
            max(multiple, multiple * round(factor * side / multiple)) for side in size
        )

    def _known(self, hints, size, working):
        """Hints (1, h / 4, w / 4, 3) of the working size; None without."""
        if hints is None:
            return None
        if not self.takes_hints:
            raise ConfigError(
                f"the network {self.config.model.name} takes no hints: pyramid and "
                "vgg19 do"
            )
        hints = np.asarray(hints)
        if hints.shape != (*size, 4) or hints.dtype != np.uint8:
            raise ConfigError(
                f"hints must be uint8 RGBA of the photo's size {size[0]}×{size[1]}, "
                f"got {hints.dtype} of {'×'.join(map(str, hints.shape))}"
            )
        mask = (hints[..., 3:] > 0).astype(np.float32)
        ab = np.asarray(rgb_to_lab(hints[..., :3].astype(np.float32)))[..., 1:]
        shape = tuple(side // OUTPUT_SCALE for side in working)
        # Mean colour of the strokes in each position; known where strokes are.
        rows, columns = (
            np.arange(side) * cells // side
            for side, cells in zip(size, shape, strict=True)
        )
        places = rows[:, None] * shape[1] + columns
        sums = [
            np.bincount(places.ravel(), array.ravel(), shape[0] * shape[1])
            for array in (mask * ab[..., :1], mask * ab[..., 1:], mask)
        ]
        count = np.maximum(sums[2], 1)
        known = np.stack([sums[0] / count, sums[1] / count, sums[2] > 0], axis=-1)
        return known.reshape(1, *shape, 3).astype(np.float32)

    @functools.cached_property
    def _jitted_luminance(self):
        return jax.jit(lambda photo: rgb_to_lab(photo)[..., :1])

    @functools.cached_property
    def _jitted_predict(self):
        return jax.jit(self._objective.predict)

    @functools.cached_property
    def _jitted_upsample(self):
        return jax.jit(upsample_chroma)

    @functools.cached_property
    def _jitted_rgb(self):
        return jax.jit(to_rgb)


def load_colorizer(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedColorizer:
    """Load a trained colourisation network.

    Args:
      workdir: folder of a training run, or a release, see `releases.index.find`.
      weights: of VGG16 or VGG19, for the network of this name; None for those of the
        training, of a release those that the environment names or the public ones.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
    """
    saved = read_saved(workdir, "colorization")
    with run_config.describing(saved.path, "colourisation network"):
        if weights is not None:
            if saved.config.model.name not in ("vgg16", "vgg19"):
                raise ConfigError(
                    f"the network {saved.config.model.name} needs no weights, got "
                    f"{weights}"
                )
            saved.config.model.weights = os.fspath(weights)
        else:
            saved.config.model.weights = saved.weight_file(saved.config.model.weights)
        return TrainedColorizer(
            saved.config, saved.variables, saved.step, saved.networks
        )
