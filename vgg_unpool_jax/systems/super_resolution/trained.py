"""Trained upscalers ready to use from other code.

Photos are RGB in [0, 255], any real dtype; results are float32.
"""

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.data.bicubic import resize_bicubic
from vgg_unpool_jax.errors import ConfigError, PhotoError, require_image
from vgg_unpool_jax.evaluation.evaluator import Evaluation
from vgg_unpool_jax.ops.blocks import blocks_to_channels, channels_to_blocks
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.evaluated import evaluate_objective
from vgg_unpool_jax.systems.saved import Exported, read_saved
from vgg_unpool_jax.systems.super_resolution.examples import make_example
from vgg_unpool_jax.systems.super_resolution.objective import (
    GENERATOR,
    upscaler_from_config,
)
from vgg_unpool_jax.systems.super_resolution.report import SuperResolutionReport
from vgg_unpool_jax.systems.unpooling.tiling import apply_in_tiles
from vgg_unpool_jax.training import run_config

TILE = 256
# Results, also in between, beyond this are refused.
MAX_PIXELS = 2**28


class TrainedUpscaler(Exported, Recompiled):
    """An upscaler with its parameters; make one with `load_upscaler`.

    Attributes:
      config: of the training run.
      model: the Flax module.
      variables: "params" and "batch_stats" of the part "generator".
      factor: of the sides.
      step: number of training steps.
      record: of the pretrained networks in its loss; a release has none.
      crop: the crop of evaluation, see `data/crops`.
      image_size: default side of the crops in pixels.
      error_gain: factor by which pictures amplify its errors.
      tiles: it takes large photos in tiles.
    """

    error_gain = SuperResolutionReport.error_gain
    tiles = True

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        variables: Mapping[str, Any],
        step: int,
        record: Mapping[str, Any] | None = None,
    ):
        """Put module and parameters together."""
        self.config, self.step, self.record = config, step, dict(record or {})
        self.crop = config.evaluation.crop
        self.image_size = config.evaluation.image_size
        self._objective = upscaler_from_config(config)
        self.model, self.factor = self._objective.model, self._objective.factor
        # A discriminator, and who rested, are of the training alone.
        self.variables = {
            name: {GENERATOR: tree_on_device(variables[name][GENERATOR])}
            for name in ("params", "batch_stats")
            if GENERATOR in variables.get(name, {})
        }

    def describe(self) -> str:
        """One line for a report."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))
        return (
            f"upscaler {self.config.model.name} by {self.factor} of {count:,} "
            f"parameters, after {self.step} steps"
        )

    def blended(self, other: "TrainedUpscaler", share: float) -> "TrainedUpscaler":
        """An upscaler whose parameters lie between those of two.

        Between a network of small errors and an adversarial one that began with it,
        this trades PSNR for detail.

        Args:
          other: of the same network.
          share: in [0, 1], of the parameters of `other`.

        Source: network interpolation of Wang et al., "ESRGAN", ECCV workshops 2018.
        """
        if not 0 <= share <= 1:
            raise ConfigError(f"share must lie in [0, 1], got {share}")
        if other.config.model.to_dict() != self.config.model.to_dict():
            raise ConfigError(
                f"networks to blend must be equal, got {self.config.model.to_dict()} "
                f"and {other.config.model.to_dict()}"
            )
        variables = jax.tree.map(
            lambda own, theirs: (1 - share) * own + share * theirs,
            self.variables,
            other.variables,
        )
        return TrainedUpscaler(self.config, variables, self.step, self.record)

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """The photo with sides cut to multiples of the factor."""
        height, width = (side // self.factor * self.factor for side in photo.shape[:2])
        if not height or not width:
            raise PhotoError(
                f"the sides must have at least {self.factor} pixels, got "
                f"{photo.shape[0]}×{photo.shape[1]}"
            )
        return photo[:height, :width]

    def upscale(
        self,
        photo,
        factor: int | None = None,
        *,
        iterative: bool = False,
        tile: int = TILE,
        progress: Callable | None = None,
    ) -> np.ndarray:
        """Enlarge a photo of any size.

        Args:
          photo: (h, w, 3) RGB in [0, 255]; it stays on the host.
          factor: of the sides; None for that of the network.
          iterative: reach another factor by enlarging again and again and a bicubic
            reduction of the last result.
          tile: larger photos are processed in tiles of at most this side in pixels,
            margins included; 0 disables tiles.
          progress: wraps the list of tiles, such as `tqdm`.

        Returns:
          (h factor, w factor, 3) float32 clipped to [0, 255]; grey photos stay grey.
        """
        photo = np.asarray(photo)
        require_image("photo", photo, 3)
        check_photo_range("photo", photo)
        factor = self.factor if factor is None else factor
        if factor < 2:
            raise ConfigError(f"factor must be at least 2, got {factor}")
        if factor != self.factor and not iterative:
            raise ConfigError(
                f"this network enlarges by {self.factor}, got the factor {factor}: "
                "with --iterative it is applied again and again"
            )
        times = math.ceil(math.log(factor, self.factor) - 1e-9)
        height, width = (self.factor**times * side for side in photo.shape[:2])
        if height * width > MAX_PIXELS:
            raise PhotoError(
                f"a photo of {photo.shape[0]}×{photo.shape[1]} would be enlarged to "
                f"{height}×{width} pixels, and at most {MAX_PIXELS:,} are made"
            )
        enlarged = photo
        for _ in range(times):
            enlarged = self._enlarge(enlarged, tile, progress)
        height, width = (factor * side for side in photo.shape[:2])
        if enlarged.shape[:2] != (height, width):
            enlarged = resize_bicubic(enlarged, height, width)
        if (photo == photo[..., :1]).all():
            enlarged = np.repeat(enlarged.mean(axis=-1, keepdims=True), 3, axis=-1)
        return np.clip(enlarged, 0, 255).astype(np.float32)

    def _enlarge(self, photo: np.ndarray, tile: int, progress) -> np.ndarray:
        def apply(windows):
            return self._jitted_apply(self.variables, on_device(windows))

        if not tile or max(photo.shape[:2]) <= tile:
            blocks = np.asarray(apply(photo[None].astype(np.float32)))[0]
        else:
            sizes = {"margin": self.model.margin, "multiple": 1, "tile": tile}
            blocks = apply_in_tiles(apply, photo, **sizes, progress=progress)
        return channels_to_blocks(blocks[None], self.factor)[0]

    def reconstruct(self, images) -> np.ndarray:
        """Reduce images (n, h, w, 3) as evaluation does, and enlarge them."""
        return np.stack([self.reconstruct_photo(image) for image in np.asarray(images)])

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """Reduce a photo as evaluation does, and enlarge it; sides as of `prepare`."""
        photo = self.prepare(np.asarray(photo, np.uint8))
        example = make_example(self.config, "evaluation")
        reduced = example(photo, np.random.default_rng(0))["input"]
        return self.upscale(reduced, **tiling)

    def evaluate(self, split: Split, **options) -> Evaluation:
        """Evaluate over photos, reduced bicubically.

        Args:
          split: the photos.
          **options: of `evaluation/evaluator.evaluate_split`.
        """
        options = {"make_example": make_example(self.config, "evaluation"), **options}
        report = SuperResolutionReport(self._objective)
        return evaluate_objective(self, self._objective, report, split, **options)

    @functools.cached_property
    def _jitted_apply(self):
        def apply(variables, images):
            own = {name: arrays[GENERATOR] for name, arrays in variables.items()}
            # Blocks have the size of the photo, as tiles need it.
            return blocks_to_channels(self.model.apply(own, images), self.factor)

        return jax.jit(apply)


def load_upscaler(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedUpscaler:
    """Load a trained upscaler.

    Args:
      workdir: folder of a training run, or a release, see `releases.index.find`.
      weights: refused; there are no pretrained weights.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
    """
    if weights is not None:
        raise ConfigError(f"an upscaler needs no weights, got {weights}")
    saved = read_saved(workdir, "super_resolution")
    with run_config.describing(saved.path, "upscaler"):
        return TrainedUpscaler(saved.config, saved.variables, saved.step, saved.record)
