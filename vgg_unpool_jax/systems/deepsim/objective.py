"""Train a generator with the DeePSiM loss: an autoencoder, or the inverse of a layer.

| `model.network` | features |
|---|---|
| `autoencoder` | a code of 8 channels at an eighth of the size, which is trained too |
| `alexnet`, `vgg19` | of the layer `model.layer`, without switches of any pooling |

The parts are "generator" and, with an adversarial term, "discriminator". Either rests
by the rule of `losses/adversarial.py`. Both gradients are taken at the same parameters,
from one forward pass; the published program steps the discriminator first.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.ops.placing import on_device
from vgg_unpool_jax.pretrained.feature_layers import (
    FeatureLayer,
    frozen_params,
    load_layers,
)
from vgg_unpool_jax.pretrained.recorded import weights_record
from vgg_unpool_jax.systems.deepsim.loss import (
    DISCRIMINATOR,
    STATE,
    DeePSiM,
    comparator_of,
    make_loss,
)
from vgg_unpool_jax.systems.deepsim.models import STATISTICS, Autoencoder, Generator
from vgg_unpool_jax.systems.unpooling.decoder import mean_squares
from vgg_unpool_jax.training.system import Aux, PyTree

AUTOENCODER, GENERATOR = "autoencoder", "generator"
# Outputs besides the images: features (n, h, w, c) of target and output.
TARGET_FEATURES, OUTPUT_FEATURES = "target_features", "output_features"


class DeePSiMObjective:
    """The objective of a generator; see `training/system.Objective`."""

    def __init__(
        self,
        model: Autoencoder | Generator,
        loss: DeePSiM,
        inverted: FeatureLayer | None,
        frozen: PyTree,
        record: Mapping[str, Any],
    ):
        """Put model, loss and networks together.

        Args:
          model: an autoencoder, or with `inverted` a generator.
          loss: of its images.
          inverted: the layer that the model inverts.
          frozen: network -> parameters.
          record: network -> facts about its weights.
        """
        self.model, self.inverted = model, inverted
        self.frozen, self.record = frozen, record
        self._loss = loss

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise both parts; measure the scales of features on the batch."""
        images = batch["image"]
        keys = jax.random.split(key)
        state = {}
        if self.inverted is None:
            variables = jax.jit(self.model.init)(keys[0], images)
        else:
            network = self.frozen[self.inverted.network]
            features = jax.jit(self.inverted.apply)(network, images)
            init = jax.jit(
                lambda key, x: self.model.init(key, x, _size(images), method="decode")
            )
            variables = init(keys[0], features)
            state[STATISTICS] = {"feature_rms": channel_scales(mean_squares(features))}
        added, loss_state = self._loss.init(keys[1], self.frozen, images)
        return {GENERATOR: variables["params"], **added}, {**state, STATE: loss_state}

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """Losses of generator and discriminator over images in [0, 255]."""
        images, state = batch["image"], dict(model_state)
        frozen = state.pop("frozen")
        features = self.encode(params[GENERATOR], frozen, images)
        variables = {"params": params[GENERATOR]}
        if self.inverted is not None:
            variables[STATISTICS] = state[STATISTICS]
        outputs = self.model.apply(variables, features, _size(images), method="decode")
        compared = self._loss(
            params, state[STATE], frozen, outputs, images, keys if train else None
        )
        state[STATE] = compared.state
        losses, active = {GENERATOR: compared.loss}, {}
        if compared.active is not None:
            losses[DISCRIMINATOR] = compared.discriminator_loss
            active = dict(zip((DISCRIMINATOR, GENERATOR), compared.active, strict=True))
        results = {INPUT: images, OUTPUT: outputs, TARGET: images}
        if not train:
            known = None if self.inverted is None else features
            layer = self.inverted or self._loss.comparator
            results |= compare_features(layer, frozen, images, outputs, known)
        return losses, Aux(compared.terms, state, results, active)

    def encode(self, params: PyTree, frozen: PyTree, images: jax.Array) -> jax.Array:
        """What the generator gets of images."""
        if self.inverted is None:
            return self.model.apply({"params": params}, images, method="encode")
        features = self.inverted.apply(frozen[self.inverted.network], images)
        return jax.lax.stop_gradient(features)


def channel_scales(squares: jax.Array) -> jax.Array:
    """What divides the channels of features.

    Args:
      squares: (c,), mean squares.

    Returns:
      (c,), their roots, and at least a tenth of the root of the mean over all channels:
      one that is rarely active would be blown up where it is.
    """
    least = 0.1 * jnp.sqrt(jnp.mean(squares))
    return jnp.maximum(jnp.sqrt(squares), jnp.maximum(least, 1e-6))


def prepare(
    config: ml_collections.ConfigDict,
    objective: DeePSiMObjective,
    params: PyTree,
    model_state: PyTree,
    crops: Callable[[int, int, int], Iterable[np.ndarray]],
) -> tuple[PyTree, PyTree]:
    """Measure the scales of inverted features on `config.preparation.num_photos`.

    See `training/system.System.prepare`.
    """
    layer = objective.inverted
    if layer is None:
        return params, model_state
    squares = jax.jit(lambda frozen, x: mean_squares(layer.apply(frozen, x)))
    total, count = 0.0, 0
    sizes = config.preparation.num_photos, config.data.image_size
    for images in crops(*sizes, config.preparation.batch_size):
        images = on_device(images, jnp.float32)
        total += len(images) * squares(objective.frozen[layer.network], images)
        count += len(images)
    scales = channel_scales(total / count)
    return params, {**model_state, STATISTICS: {"feature_rms": scales}}


def compare_features(
    layer: FeatureLayer | None,
    frozen: PyTree,
    images: jax.Array,
    outputs: jax.Array,
    features: jax.Array | None = None,
) -> dict[str, jax.Array]:
    """Features for reports, of images and outputs clipped to [0, 255].

    Args:
      layer: of a pretrained network; None gives none.
      frozen: network -> parameters.
      images: (n, h, w, 3) in [0, 255].
      outputs: the same shape.
      features: of the images, if they are known.
    """
    if layer is None:
        return {}
    params = frozen[layer.network]
    if features is None:
        features = layer.apply(params, images)
    again = layer.apply(params, jnp.clip(outputs, 0.0, 255.0))
    return {TARGET_FEATURES: features, OUTPUT_FEATURES: again}


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> DeePSiMObjective:
    """Build the objective of a config.

    Args:
      config: with sections model, comparator, loss and weights.
      record: what `DeePSiMObjective.record` was when the run began, or None.
    """
    inverted = inverted_layer(config)
    layers = [inverted] if inverted else []
    layers += comparator_of(config)
    layers, weights = load_layers(layers, config.weights, record)
    if inverted:
        inverted = layers.pop(0)
    return DeePSiMObjective(
        make_model(config),
        make_loss(config, layers[0] if layers else None),
        inverted,
        frozen_params(weights),
        {network: weights_record(found) for network, found in weights.items()},
    )


def inverted_layer(config: ml_collections.ConfigDict) -> FeatureLayer | None:
    """The layer that a config's generator inverts; None for an autoencoder."""
    if config.model.network == AUTOENCODER:
        return None
    return FeatureLayer(config.model.network, config.model.layer)


def make_model(config: ml_collections.ConfigDict) -> Autoencoder | Generator:
    """The module of a config."""
    model = config.model
    if not model.width > 0:
        raise ConfigError(f"model.width must be positive, got {model.width}")
    layer = inverted_layer(config)
    if layer is None:
        return Autoencoder(model.width)
    if model.published and (layer.network, layer.layer) != ("alexnet", "pool5"):
        raise ConfigError(
            "model.published is the generator of AlexNet's pool5, got "
            f"{layer.network} {layer.layer}"
        )
    return Generator(layer.stride, model.width, model.published)


def _size(images: jax.Array) -> tuple[int, int]:
    height, width = images.shape[1:3]
    return height, width
