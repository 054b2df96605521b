"""The training step that the trainer runs, and the reconstruction, for the clock."""

import functools
import importlib
import time

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import make_augmentation
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.losses.ms_ssim import MIN_SIDE
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.runtime.cpu_devices import device_per_core
from vgg_unpool_jax.runtime.memory import peak_memory
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.systems.saved import SavedModel
from vgg_unpool_jax.systems.staged.decoder import BLOCK, STAGES, StagedDecoder
from vgg_unpool_jax.systems.staged.trained import TrainedStagedDecoder
from vgg_unpool_jax.systems.unpooling.pair import Pair
from vgg_unpool_jax.training import parallel, setup
from vgg_unpool_jax.training.optimizers import make_optimizer
from vgg_unpool_jax.training.state import create_train_state
from vgg_unpool_jax.training.step import make_train_step

# 90 % of COCO's unlabeled photos, on which the published recipe is trained. Only the
# slope of the learning rate depends on it.
_NUM_PHOTOS = 111_063


def make_config(
    block: int, dtype: str = "float32", size: int = MIN_SIDE
) -> ml_collections.ConfigDict:
    """The published recipe, with random encoder weights.

    Args:
      block: 1 to 5.
      dtype: of the convolutions.
      size: side of the images in pixels; below 176 there is no MS-SSIM.
    """
    config = importlib.import_module(f"configs.vgg19_block{block}").get_config()
    config.encoder.weights = "random"
    config.compute_dtype = dtype
    # All programs see the same photos; a flip takes no time.
    config.data.flip = False
    if size < MIN_SIDE:
        config.loss.ms_ssim = 0.0
    return config


def random_staged() -> TrainedStagedDecoder:
    """A staged decoder and an encoder that nobody has trained."""
    from configs.staged import vgg19

    config, weights = vgg19.get_config(), random_vgg19_weights(0, block=BLOCK)
    inputs = [jnp.zeros((1, 8, 8, stage[0].outputs)) for stage in STAGES]
    variables = StagedDecoder().init(jax.random.key(0), inputs)
    saved = SavedModel(None, config, variables, 0, {}, None)
    return TrainedStagedDecoder(saved, weights)


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


def random_pair(block: int) -> Pair:
    """A pair with random weights."""
    config = make_config(block)
    size = 2 ** (block - 1)
    params, model_state = make_objective(config).init(
        jax.random.key(0), {"image": np.zeros((1, size, size, 3), np.float32)}
    )
    weights = random_vgg19_weights(config.encoder.random_seed, block=block)
    return Pair(config, weights, {"params": params, **model_state}, step=0)


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


class OurProgram:
    """Our side of the suite `step`, in a process of its own."""

    def __init__(self, config: dict, photos: np.ndarray):
        """Build everything as the trainer does.

        Args:
          config: of the run.
          photos: uint8 (n, s, s, 3), the batch of every step.
        """
        config = ml_collections.ConfigDict(config)
        if config.device_per_core:
            device_per_core(len(photos))
        parallel.check_batch_size("--batch_size", len(photos))
        total_steps = setup.count_steps(config, _NUM_PHOTOS)
        optimizer = make_optimizer(
            config.optimizer, total_steps, _NUM_PHOTOS / config.data.batch_size
        )
        self._learning_rate = optimizer.learning_rates["learning_rate"]
        self._objective = make_objective(config)
        self._key = jax.random.key(config.seed)
        params, model_state = self._objective.init(
            self._key, {"image": photos[:1].astype(np.float32)}
        )
        # The step donates its state; these parameters stay.
        self._params = jax.device_get(params)
        state = create_train_state(
            self._params, model_state, optimizer.transformation, averaged=False
        )
        by = parallel.parallelism(config)
        self._state = parallel.replicate(state, by=by)
        self._frozen = parallel.replicate(self._objective.frozen, by=by)
        self._batch = {"image": photos, "index": np.arange(len(photos))}
        self._train = parallel.parallelize_step(
            make_train_step(
                self._objective,
                optimizer,
                make_augmentation(flip=config.data.flip),
                average_decay=config.optimizer.average_decay,
            ),
            by=by,
        )
        self._compile_seconds = 0.0
        # One part of the batch for each device, as in `Pair.reconstruct`.
        self._infer = parallel.parallelize_inference(self._compute_reconstruction)

    def _step(self) -> dict[str, jax.Array]:
        batch = parallel.shard_batch(self._batch)
        self._state, metrics = self._train(self._state, self._frozen, batch, self._key)
        return metrics

    def _reconstruct(self) -> jax.Array:
        photos = parallel.shard_batch(self._batch)["image"]
        decoder = {"params": self._state.params, **self._state.model_state}
        variables = self._frozen["encoder"], decoder
        return parallel.unshard(self._infer(variables, photos))

    def _compute_reconstruction(self, variables, photos):
        encoder_params, variables = variables
        features, intermediates = self._objective.encoder.apply(
            {"params": encoder_params}, photos.astype(jnp.float32)
        )
        switches = intermediates["switches"]
        outputs, _ = self._objective.decoder.apply(variables, features, switches)
        return outputs.astype(jnp.float32)

    def pair(self, rates: int):
        """(encoder parameters, decoder parameters, the first learning rates)."""
        learning_rates = [float(self._learning_rate(step)) for step in range(rates)]
        encoder = jax.device_get(self._objective.frozen["encoder"])
        return encoder, self._params, learning_rates

    def first_steps(self, count: int) -> list[dict[str, float]]:
        """Train; the losses and norms of each step."""
        if not self._compile_seconds:
            began = time.perf_counter()
            batch = parallel.shard_batch(self._batch)
            parallel.compile_ahead(
                self._train, self._state, self._frozen, batch, self._key
            )
            self._compile_seconds = time.perf_counter() - began
        return [
            {name: float(value) for name, value in self._step().items()}
            for _ in range(count)
        ]

    def facts(self) -> dict[str, float]:
        """Seconds of tracing and compiling the step, and peak memory in bytes."""
        peaks = peak_memory()
        return {
            "peak_bytes": peaks.get("device", peaks.get("host", 0)),
            "compile_seconds": self._compile_seconds,
        }

    def reconstruct(self) -> np.ndarray:
        """(n, s, s, 3) float32 reconstructions by the decoder as it is."""
        return np.asarray(self._reconstruct())

    def seconds(self, kind: str) -> float:
        """Of one call of "train" or "reconstruct"."""
        run = {"train": self._step, "reconstruct": self._reconstruct}[kind]
        began = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - began
