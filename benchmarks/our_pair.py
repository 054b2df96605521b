"""The training step that the trainer runs, and the reconstruction, for the clock."""

import functools
import importlib
import time

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import make_augmentation
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.losses.ms_ssim import MIN_SIDE
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.training import parallel, setup
from vgg_unpool_jax.training.optimizers import make_optimizer
from vgg_unpool_jax.training.state import create_train_state
from vgg_unpool_jax.training.step import as_float, make_train_step

# 90 % of COCO's unlabeled photos, which the published recipe is trained on. Only the
# slope of the learning rate hangs on it.
_NUM_PHOTOS = 111_063


def make_config(
    block: int, dtype: str, size: int = MIN_SIDE
) -> ml_collections.ConfigDict | None:
    """The published recipe, with random encoder weights.

    Args:
      block: 1 to 5.
      dtype: of the convolutions.
      size: side of the images in pixels; below 176 there is no MS-SSIM.

    Returns:
      A config, or None where configs know no such dtype.
    """
    config = importlib.import_module(f"configs.vgg19_block{block}").get_config()
    config.encoder.weights = "random"
    # Both do the flip, if at all, in no time; without it both see the same photos.
    config.data.flip = False
    if size < MIN_SIDE:
        config.loss.ms_ssim = 0.0
    if "compute_dtype" in config:
        config.compute_dtype = dtype
    elif dtype != "float32":
        return None
    return config


def override(config: ml_collections.ConfigDict, setting: str):
    """A copy of a config with one field set.

    Args:
      config: to copy.
      setting: FIELD=VALUE, the path of a field as `--config.FIELD` takes it.
    """
    field, _, value = setting.partition("=")
    try:
        kind = type(
            functools.reduce(lambda part, name: part[name], field.split("."), config)
        )
        if kind is bool:
            value = {"true": True, "false": False}[value.lower()]
        changed = ml_collections.ConfigDict(config.to_dict())
        changed.update_from_flattened_dict({field: kind(value)})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"--ours takes FIELD=VALUE of the config of a pair, and got {setting!r}"
        ) from error
    return changed


def draw_photos(generator: np.random.Generator, batch: int, size: int) -> np.ndarray:
    """Random uint8 (batch, size, size, 3) with structure at all scales, as photos have.

    MS-SSIM of white noise is 0 up to rounding, where its gradient is infinite. Nothing
    is clipped: in plain areas all values of a window are equal, and rounding decides
    which of them is the maximum.
    """
    photos = np.zeros((batch, size, size, 3), np.float32)
    cells = 2
    while cells <= size:
        coarse = generator.uniform(-1, 1, (batch, cells, cells, 3)).astype(np.float32)
        finer = jax.image.resize(coarse, photos.shape, "linear")
        photos += cells**-0.5 * np.asarray(finer)
        cells *= 2
    photos = (photos - photos.min()) / (photos.max() - photos.min())
    return np.round(255 * photos).astype(np.uint8)


class OurTraining:
    """A pair in training.

    Attributes:
      objective: of the pair.
      params: what the decoder began with.
      learning_rate: step -> learning rate.
      compile_seconds: of the first step.
    """

    def __init__(self, config: ml_collections.ConfigDict, photos: np.ndarray):
        """Build everything as the trainer does.

        Args:
          config: of the run.
          photos: uint8 (n, s, s, 3), the batch of every step.
        """
        total_steps = setup.count_steps(config, _NUM_PHOTOS)
        optimizer = make_optimizer(
            config.optimizer, total_steps, _NUM_PHOTOS / config.data.batch_size
        )
        self.objective = make_objective(config)
        self._key = jax.random.key(config.seed)
        self.params, model_state = self.objective.init(
            self._key, {"image": photos[:1].astype(np.float32)}
        )
        # The step gives its state away; `params` stay.
        self.params = jax.device_get(self.params)
        state = create_train_state(
            self.params, model_state, optimizer.transformation, averaged=False
        )
        self._state = parallel.replicate(state)
        self._frozen = parallel.replicate(self.objective.frozen)
        self._batch = {"image": photos, "index": np.arange(len(photos))}
        self.learning_rate = optimizer.learning_rates["learning_rate"]
        self._step = parallel.parallelize_step(
            make_train_step(
                self.objective,
                optimizer,
                make_augmentation(flip=config.data.flip),
                average_decay=config.optimizer.average_decay,
            )
        )
        self.compile_seconds = None
        # A shard a device, as `Pair.reconstruct` does it.
        self._reconstruct = parallel.parallelize_inference(self._compute_reconstruction)
        encoder = self.objective.frozen["encoder"]
        decoder = {"params": self.params, **model_state}
        self._variables = parallel.replicate((encoder, decoder))

    def step(self) -> dict[str, jax.Array]:
        """One training step; returns its metrics."""
        began = time.perf_counter()
        batch = parallel.shard_batch(self._batch)
        self._state, metrics = self._step(self._state, self._frozen, batch, self._key)
        if self.compile_seconds is None:
            jax.block_until_ready(metrics)
            self.compile_seconds = time.perf_counter() - began
        return metrics

    def reconstruct(self) -> jax.Array:
        """(n, s, s, 3) float32 reconstructions by the decoder as it was at first."""
        photos = parallel.shard_batch(self._batch)["image"]
        return parallel.unshard(self._reconstruct(self._variables, photos))

    def _compute_reconstruction(self, variables, photos):
        encoder_params, variables = variables
        features, intermediates = self.objective.encoder.apply(
            {"params": encoder_params}, as_float(photos)
        )
        switches = intermediates["switches"]
        outputs, _ = self.objective.decoder.apply(variables, features, switches)
        return as_float(outputs)
