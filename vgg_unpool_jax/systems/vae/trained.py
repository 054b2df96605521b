"""Trained VAEs ready to use from other code.

Images are NHWC RGB in [0, 255], any real dtype; results are float32. Functions are
jit-compiled, once per number of images.
"""

import functools
import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.data.crops import cut_photo
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.evaluator import Evaluation, evaluate_split
from vgg_unpool_jax.evaluation.frechet import spatial_mean_features
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.releases import file
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.saved import read_saved
from vgg_unpool_jax.systems.unpooling.pair import Encoder, load_encoder
from vgg_unpool_jax.systems.vae.objective import BetaLoss, VAEObjective, make_model
from vgg_unpool_jax.systems.vae.report import FRECHET_BLOCK, VAEReport
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.step import as_float, photo_keys


class TrainedVAE(Recompiled):
    """A VAE with its parameters; make one with `load_vae`.

    Attributes:
      config: of the training run.
      model: the Flax module, a `VAE`.
      variables: its variables, for `model.apply`.
      step: number of training steps.
      record: facts about the VGG19 weights of `encoder`; empty without it.
      crop: the crop of evaluation, see `data/crops`.
      encoder: a VGG19 encoder for the Fréchet distances of `evaluate`, or None to
        leave them out.
      image_size: side of the images in pixels.
      error_gain: factor by which pictures amplify its errors.
      tiles: whether it takes photos of any size, large ones in tiles.
    """

    error_gain = VAEReport.error_gain
    tiles = False

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        variables: Mapping[str, Any],
        step: int,
        encoder: Encoder | None = None,
    ):
        """Put module and parameters together."""
        self.encoder = encoder
        self.config, self.step = config, step
        self.record = {} if encoder is None else encoder.record
        self.crop = config.evaluation.crop
        self.model = make_model(config)
        self.image_size = self.model.image_size
        self.latent_size = self.model.latent_size
        # Without what a training with DeePSiM adds.
        params = {name: variables["params"][name] for name in ("encoder", "decoder")}
        kept = {"params": params, "batch_stats": variables["batch_stats"]}
        self.variables = tree_on_device(kept)

    def describe(self) -> str:
        """One line for a report."""
        return (
            f"VAE of {self.image_size}×{self.image_size} images, {self.latent_size} "
            f"numbers per code, after {self.step} steps"
        )

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """Crop a photo of any size as in evaluation.

        Args:
          photo: uint8 (h, w, 3) RGB.

        Returns:
          uint8 (image_size, image_size, 3).
        """
        return cut_photo(photo, self.crop, self.image_size)

    def encode(self, images) -> tuple[jax.Array, jax.Array]:
        """Encode images.

        Args:
          images: (n, image_size, image_size, 3) RGB in [0, 255].

        Returns:
          means: (n, latent_size) of q(z|x).
          log_variances: (n, latent_size), natural logarithms.

        Raises:
          ValueError: for another shape.
        """
        check_photo_range("images", images)
        return self._jitted_encode(self.variables, on_device(images, jnp.float32))

    def decode(self, codes) -> jax.Array:
        """Decode codes (n, latent_size) to images (n, image_size, image_size, 3)."""
        return self._jitted_decode(self.variables, on_device(codes, jnp.float32))

    def reconstruct(self, images) -> jax.Array:
        """Encode images and decode the means; shapes as in `encode`."""
        return self.decode(self.encode(images)[0])

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """Encode one image and decode its mean.

        Args:
          photo: (image_size, image_size, 3) RGB in [0, 255], as from `prepare`.
          **tiling: options of a pair, which such small images do not need.

        Returns:
          (image_size, image_size, 3) float32.
        """
        del tiling
        return np.asarray(self.reconstruct(np.asarray(photo)[None]))[0]

    def sample(self, key: jax.Array, count: int, temperature: float = 1.0) -> jax.Array:
        """Draw images from the prior.

        Args:
          key: random key of the codes.
          count: number of images.
          temperature: factor on the codes' standard deviation; below 1 images are
            closer to the average one.

        Returns:
          (count, image_size, image_size, 3) RGB in [0, 255].
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        if not 0 <= temperature < math.inf:
            raise ValueError(
                f"temperature must be at least 0 and finite, got {temperature}"
            )
        shape = count, self.latent_size
        codes = temperature * jax.random.normal(key, shape, jnp.float32)
        return self.decode(codes)

    def log_std(self) -> float:
        """Natural logarithm of the standard deviation of p(x|z) on [-1, 1]."""
        return float(self.model.apply(self.variables, method="log_std"))

    def export(
        self,
        path: str | os.PathLike,
        *,
        dtype: str = "float32",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the VAE into one file for `load_vae`; see `releases.file.write`."""
        options = {"step": self.step, "dtype": dtype, "facts": facts}
        file.write(path, self.variables, config=self.config.to_dict(), **options)

    def evaluate(
        self,
        split: Split,
        *,
        image_size: int | None = None,
        **options,
    ) -> Evaluation:
        """Evaluate over photos; see `evaluation/evaluator.evaluate_split`.

        Args:
          split: the photos.
          image_size: None, or the side of the images that this VAE takes.
          **options: of `evaluate_split`.
        """
        if image_size not in (None, self.image_size):
            raise ConfigError(
                f"image_size must be {self.image_size} for this VAE, got {image_size}"
            )
        if options.get("crop") == "whole":
            raise ConfigError(
                f"a VAE takes photos of {self.image_size}×{self.image_size}, got the "
                "crop 'whole'"
            )
        features = None
        if self.encoder is not None:
            encode = self.encoder.encode
            features = spatial_mean_features(lambda x: encode(x)[0])
        # The loss does not matter for what is measured.
        objective = VAEObjective(self.model, BetaLoss(1.0, 0, 0.0))
        report = VAEReport(
            objective,
            features=features,
            decode=self.decode,
            samples=64,
            interpolations=6,
            tsne=True,
        )
        params, model_state = self.variables["params"], dict(self.variables)
        del model_state["params"]

        @jax.jit
        def compute(params, model_state, batch, keys):
            state = {**model_state, "frozen": objective.frozen}
            return objective.losses(params, state, batch, keys, False)[1].outputs

        def compute_outputs(batch):
            batch = as_float({name: batch[name] for name in ("image", "index")})
            keys = photo_keys(jax.random.key(0), batch["index"])
            return compute(params, model_state, batch, keys)

        return evaluate_split(
            compute_outputs,
            report,
            split.source,
            split.indices,
            image_size=self.image_size,
            variables=(params, model_state),
            **{"crop": self.crop, "batch_size": 64, **options},
        )

    @functools.cached_property
    def _jitted_encode(self):
        return jax.jit(self._encode)

    @functools.cached_property
    def _jitted_decode(self):
        return jax.jit(self._decode)

    def _encode(self, variables, images):
        return self.model.apply(variables, images, method="encode")

    def _decode(self, variables, codes):
        return self.model.apply(variables, codes, method="decode")


def load_vae(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedVAE:
    """Load a trained VAE.

    Args:
      workdir: folder of a training run, or a release, see `releases.index.find`.
      weights: a VGG19 weight file for the Fréchet distances of `evaluate`; None leaves
        them out.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
      WeightsError: when the weights are unavailable.
    """
    saved = read_saved(workdir, "vae")
    encoder = None if weights is None else load_encoder(FRECHET_BLOCK, weights)
    with run_config.describing(saved.path, "VAE"):
        return TrainedVAE(saved.config, saved.variables, saved.step, encoder)
