"""Trained staged decoders ready to use from other code.

Images are NHWC RGB in [0, 255], any real dtype; results are float32.
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.evaluation.evaluator import Evaluation, evaluate_split
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.nets.convolution import AUTO
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.ops.photo_range import any_range, check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.pretrained.recorded import (
    load_recorded_weights,
    load_released_weights,
    released_record,
    weights_record,
)
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.releases import file
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.saved import SavedModel, read_saved
from vgg_unpool_jax.systems.staged.decoder import (
    BLOCK,
    Encoding,
    decode,
    encode,
)
from vgg_unpool_jax.systems.staged.objective import BANK, make_models
from vgg_unpool_jax.training import run_config


class TrainedStagedDecoder(Recompiled):
    """VGG19 up to block4_conv2 and a staged decoder; see `load_staged_decoder`.

    Attributes:
      config: of the training run.
      encoder: the Flax module.
      encoder_params: its parameters.
      decoder: the Flax module, a `StagedDecoder`.
      variables: its variables, for `systems.staged.decoder.exact_stage`.
      step: number of training steps.
      record: origin, SHA-256 and preprocessing of the VGG19 weights.
      crop: default crop of `evaluate`.
      image_size: default side of the crops in pixels.
      error_gain: factor by which pictures amplify its errors.
      tiles: whether it takes large photos in tiles; no.
    """

    error_gain = 8.0
    tiles = False

    def __init__(self, saved: SavedModel, weights: VGG19Weights):
        """Put modules and weights together."""
        self.config, self.step = saved.config, saved.step
        self.record = weights_record(weights)
        self._release = saved.release
        config = ml_collections.ConfigDict(saved.config.to_dict())
        self.crop = config.evaluation.crop
        self.image_size = config.evaluation.image_size
        # Whatever the training config says.
        config.compute_dtype, config.convolution = "float32", AUTO
        self.encoder, self.decoder = make_models(config, weights.preprocessing)
        self.encoder_params = tree_on_device(weights.params)
        kept = {name: a for name, a in saved.variables.items() if name != BANK}
        self.variables = tree_on_device(kept)

    def describe(self) -> str:
        """One line for a report."""
        params = jax.tree.leaves(self.variables["params"])
        count = sum(leaf.size for leaf in params)
        return (
            f"staged decoder of {count:,} parameters after {self.step} steps, VGG19 "
            f"{self.record['origin']}"
        )

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """The photo itself, because any size is taken."""
        return photo

    def encode(self, images) -> Encoding:
        """Features at both ends of the stages.

        Args:
          images: (n, h, w, 3) RGB in [0, 255]; sides are multiples of 8.
        """
        check_photo_range("images", images)
        return self._jitted_encode(self.encoder_params, on_device(images, jnp.float32))

    def reconstruct(self, images) -> jax.Array:
        """Encode and decode images of any size, without the exact residual.

        With it the result would be the images themselves.

        Args:
          images: (n, h, w, 3) RGB in [0, 255].

        Returns:
          (n, h, w, 3) RGB clipped to [0, 255].
        """
        check_photo_range("images", images)
        require_image("images", np.asarray(images), 4)
        images = on_device(images, jnp.float32)
        return self._jitted_reconstruct(self.encoder_params, self.variables, images)

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """`reconstruct` of one photo (h, w, 3), whole."""
        del tiling
        return np.asarray(self.reconstruct(np.asarray(photo)[None]))[0]

    def evaluate(self, split: Split, **options) -> Evaluation:
        """Evaluate `reconstruct` over photos; see `evaluation/evaluator`."""

        def compute_outputs(batch):
            images = on_device(batch["image"], jnp.float32)
            with any_range():  # photos of files, some of which are black
                outputs = self.reconstruct(images)
            return {INPUT: images, OUTPUT: outputs, TARGET: images}

        options = {"image_size": self.image_size, "crop": self.crop, **options}
        return evaluate_split(
            compute_outputs, Report(), split.source, split.indices, **options
        )

    def export(
        self,
        path: str | os.PathLike,
        *,
        dtype: str = "float32",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the decoder into one file for `load_staged_decoder`.

        See `releases.file.write`; a digest of VGG19 is written, not its weights.
        """
        weights = VGG19Weights(self.encoder_params, **self.record)
        pretrained = released_record(weights, BLOCK)
        if self._release is not None:
            pretrained = self._release["pretrained"]
        file.write(
            path,
            self.variables,
            config=self.config.to_dict(),
            step=self.step,
            pretrained=pretrained,
            dtype=dtype,
            facts=facts,
        )

    @functools.cached_property
    def _jitted_encode(self):
        return jax.jit(functools.partial(encode, self.encoder))

    @functools.cached_property
    def _jitted_reconstruct(self):
        def reconstruct(encoder_params, variables, images):
            padded = pad_to_multiple(images, size_multiple(BLOCK))
            encoding = encode(self.encoder, encoder_params, padded)
            outputs = decode(self.decoder, variables, encoding)
            _, height, width, _ = images.shape
            return jnp.clip(outputs[:, :height, :width], 0.0, 255.0)

        return jax.jit(reconstruct)


def load_staged_decoder(
    workdir_or_name: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedStagedDecoder:
    """Load a trained staged decoder with its encoder.

    Args:
      workdir_or_name: folder of a training run, or a release such as "vgg19-style",
        see `releases.index.find`.
      weights: the VGG19 weight file; see `load_pair`.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
      WeightsError: when the weights are unavailable or others.
    """
    saved = read_saved(workdir_or_name, "staged")
    with run_config.describing(saved.path, "staged decoder"):
        if saved.release is None:
            recorded = saved.record.get("vgg19")
            found = load_recorded_weights(saved.config.encoder, recorded, weights)
        else:
            found = load_released_weights(saved.release, weights)
        return TrainedStagedDecoder(saved, found)
