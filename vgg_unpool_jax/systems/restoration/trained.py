"""Trained restoration networks ready to use from other code.

Photos are RGB in [0, 255], any real dtype; results are float32.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.errors import ConfigError, require_image
from vgg_unpool_jax.evaluation.evaluator import Evaluation, evaluate_split
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.ops.photo_range import any_range, check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.restoration.examples import make_example
from vgg_unpool_jax.systems.restoration.models import make_model
from vgg_unpool_jax.systems.restoration.restorer import (
    ESTIMATOR_SCALE,
    Levels,
    Restorer,
    from_vector,
    to_vector,
)
from vgg_unpool_jax.systems.saved import Exported, read_saved
from vgg_unpool_jax.systems.unpooling.tiling import apply_in_tiles, pad_on_host
from vgg_unpool_jax.training import run_config

TILE = 1024
# Photos are padded by reflection to multiples of this, so that sizes share programs.
_BUCKET = 64


class TrainedRestorer(Exported, Recompiled):
    """A restoration network with its parameters; make one with `load_restorer`.

    Attributes:
      config: of the training run.
      model: the Flax module.
      variables: its variables, for `model.apply`.
      step: number of training steps.
      record: of the pretrained networks in its loss; a release has none.
      crop: the crop of evaluation, see `data/crops`.
      image_size: default side of the crops in pixels.
      error_gain: factor by which pictures amplify its errors.
      is_blind: whether it estimates noise and JPEG quality, and takes them.
      tiles: whether it takes large photos in tiles.
    """

    error_gain = Report.error_gain

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
        self.model = make_model(config)
        self.is_blind = self.tiles = isinstance(self.model, Restorer)
        self.variables = tree_on_device(dict(variables))

    def describe(self) -> str:
        """One line for a report."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))
        return (
            f"{self.config.model.name} of {count:,} parameters for the damage "
            f"{self.config.data.damage}, after {self.step} steps"
        )

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """The photo itself, because the network takes any size."""
        return photo

    def estimate(self, photo, *, tile: int = TILE) -> Levels:
        """How damaged a blind restorer believes a photo to be.

        Args:
          photo: (h, w, 3) RGB in [0, 255]; noise may exceed the range.
          tile: see `restore`.

        Returns:
          Standard deviation of the noise in grey levels and quality of JPEG, floats.
        """
        self._require_blind()
        return Levels(*map(float, from_vector(self._estimate(_checked(photo), tile))))

    def restore(
        self,
        photo,
        *,
        noise: float | None = None,
        quality: float | None = None,
        strength: float = 1.0,
        tile: int = TILE,
        progress: Callable | None = None,
    ) -> np.ndarray:
        """Restore a photo of any size, a blind restorer in bounded memory.

        Args:
          photo: (h, w, 3) RGB in [0, 255]; noise may exceed the range. It stays on the
            host.
          noise: standard deviation in grey levels that the network is told; None is
            what it estimates.
          quality: of JPEG, 1 to 100, that it is told; None is what it estimates.
          strength: factor on the noise and on 100 - quality that it is told.
          tile: larger photos are processed in tiles of at most this side in pixels,
            margins included; 0 disables tiles.
          progress: wraps the list of tiles, such as `tqdm`.

        Returns:
          (h, w, 3) float32 clipped to [0, 255]; grey photos stay grey.
        """
        photo = _checked(photo)
        if not self.is_blind:
            if noise is not None or quality is not None or strength != 1:
                self._require_blind()
            with any_range():
                outputs = self._jitted_apply(
                    self.variables, on_device(photo[None], np.float32)
                )
            restored = np.asarray(outputs)[0]
        else:
            told = self._told(photo, noise, quality, strength, tile)

            def apply(windows):
                return self._jitted_restore(
                    self.variables, on_device(windows, np.float32), told
                )

            restored = self._in_tiles(apply, photo, tile, progress=progress)
            restored = restored[: photo.shape[0], : photo.shape[1]]
        if (photo == photo[..., :1]).all():
            restored = np.repeat(restored.mean(axis=-1, keepdims=True), 3, axis=-1)
        return restored

    def reconstruct(self, images) -> np.ndarray:
        """Restore images (n, h, w, 3), one by one."""
        return np.stack([self.restore(image) for image in np.asarray(images)])

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """Restore a photo; options as in `restore`."""
        return self.restore(photo, **tiling)

    def evaluate(self, split: Split, **options) -> Evaluation:
        """Evaluate over photos, damaged as in the validation of the training.

        Args:
          split: the photos.
          **options: of `evaluation/evaluator.evaluate_split`.
        """

        def compute_outputs(batch):
            restored = self.reconstruct(batch["input"])
            images = [on_device(batch[n], jnp.float32) for n in ("input", "image")]
            return {INPUT: images[0], OUTPUT: on_device(restored), TARGET: images[1]}

        options = {
            "image_size": self.image_size,
            "crop": self.crop,
            "make_example": make_example(self.config, "evaluation"),
            **options,
        }
        return evaluate_split(
            compute_outputs, Report(), split.source, split.indices, **options
        )

    def _require_blind(self) -> None:
        if not self.is_blind:
            raise ConfigError(
                f"the network {self.config.model.name} neither estimates nor takes "
                "noise, quality and strength"
            )

    def _told(self, photo, noise, quality, strength, tile) -> np.ndarray:
        for name, value, low, high in (
            ("noise", noise, 0, 255),
            ("quality", quality, 1, 100),
            ("strength", strength, 0, 100),
        ):
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} must lie in [{low}, {high}], got {value}")
        vector = np.zeros(2, np.float32)
        if noise is None or quality is None:
            vector = np.maximum(self._estimate(photo, tile), 0.0)
        given = to_vector(Levels(noise or 0.0, 100.0 if quality is None else quality))
        is_given = np.array([noise is not None, quality is not None])
        vector = np.where(is_given, np.asarray(given), vector)
        return np.asarray(strength * vector, np.float32)[None]

    def _estimate(self, photo: np.ndarray, tile: int) -> np.ndarray:
        def features(windows):
            return self._jitted_features(self.variables, on_device(windows, np.float32))

        found = self._in_tiles(features, photo, tile, scale=ESTIMATOR_SCALE)
        # Mirrored padding has JPEG's grid of 8 pixels at another place.
        rows, columns = (-(-side // ESTIMATOR_SCALE) for side in photo.shape[:2])
        found = found[:rows, :columns]
        pooled = found.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        return np.asarray(self._jitted_head(self.variables, pooled[None]))[0]

    def _in_tiles(self, function, photo, tile, **options) -> np.ndarray:
        """A function of the photo, padded."""
        padded = pad_on_host(photo[None], _BUCKET)[0]
        if not tile or max(padded.shape[:2]) <= tile:
            return np.asarray(function(padded[None]))[0]
        sizes = {"margin": self.model.margin, "multiple": self.model.multiple}
        return apply_in_tiles(function, padded, tile=tile, **sizes, **options)

    @functools.cached_property
    def _jitted_apply(self):
        return jax.jit(
            lambda variables, images: jnp.clip(
                self.model.apply(variables, images), 0.0, 255.0
            )
        )

    @functools.cached_property
    def _jitted_restore(self):
        return jax.jit(
            lambda variables, images, vector: jnp.clip(
                self.model.apply(variables, images, vector, method="restore"),
                0.0,
                255.0,
            )
        )

    @functools.cached_property
    def _jitted_features(self):
        return jax.jit(functools.partial(self.model.apply, method="features"))

    @functools.cached_property
    def _jitted_head(self):
        return jax.jit(functools.partial(self.model.apply, method="estimate"))


def load_restorer(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedRestorer:
    """Load a trained restoration network.

    Args:
      workdir: folder of a training run, or a release, see `releases.index.find`.
      weights: refused; there are no pretrained weights.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
    """
    if weights is not None:
        raise ConfigError(f"a restoration network needs no weights, got {weights}")
    saved = read_saved(workdir, "restoration")
    with run_config.describing(saved.path, "restoration network"):
        return TrainedRestorer(saved.config, saved.variables, saved.step, saved.record)


def _checked(photo) -> np.ndarray:
    photo = np.asarray(photo)
    require_image("photo", photo, 3)
    check_photo_range("photo", photo)
    return photo
