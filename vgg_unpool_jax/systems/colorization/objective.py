"""Train a network to give photos without colour their colours.

| loss | |
|---|---|
| `mse` | mean squared error of ab / 128, as published |
| `bins` | cross entropy over bins of ab at a quarter of the size, rare ones heavier |

`pyramid` and `vgg19` learn with hints as well: in one half of the photos a random share
of the positions has its true colour.

The published program gives L in [0, 100] to VGG16 as if it were the preprocessed photo;
`model.vgg_preprocessing` gives it the grey photo with the preprocessing of its weights.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.errors import ConfigError, WeightsMismatchError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.nets.vgg16 import VGG16, VGG16_CONVOLUTIONS
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.ops.lab import fit_into_rgb, rgb_to_lab
from vgg_unpool_jax.ops.placing import tree_on_device
from vgg_unpool_jax.pretrained.feature_layers import (
    VGG19,
    FeatureLayer,
    frozen_params,
    load_weights,
    released_record,
)
from vgg_unpool_jax.pretrained.networks import (
    load_network_weights,
    random_network_weights,
    require_torchvision,
)
from vgg_unpool_jax.pretrained.recorded import (
    RANDOM_ORIGIN,
    has_layers,
    weights_record,
)
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256
from vgg_unpool_jax.systems.colorization import bins
from vgg_unpool_jax.systems.colorization.guided import upsample_chroma
from vgg_unpool_jax.systems.colorization.model import (
    AB_UNIT,
    OUTPUT_SCALE,
    VGG19_LAYERS,
    make_model,
)
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

LOSSES = ("mse", "bins")
# Photos with the mean colour of the training photos, (n, h, w, 3).
MEAN_COLOR = "mean_color"
STATISTICS = "statistics"
_VGG19_DEEPEST = FeatureLayer(VGG19, VGG19_LAYERS[0])
# Smallest share of known positions, as a power of ten; the largest is a tenth.
_LEAST_KNOWN = -3.5
# Mean and standard deviation that VGG16's preprocessing takes out, and its range.
_VGG_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_VGG_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class ColorizationObjective:
    """The objective of a colourisation network; see `training/system.Objective`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        loss: str,
        temperature: float,
        unweight: float = 0.0,
        vgg16: Any = None,
        vgg_preprocessing: bool = False,
        vgg19: Any = None,
    ):
        """Put model, loss and encoder together.

        Args:
          model: of `make_model`.
          loss: one of `LOSSES`.
          temperature: of the annealed mean of bins.
          unweight: see `bins.decode`.
          vgg16: weights of the encoder of `vgg16`.
          vgg_preprocessing: see above.
          vgg19: weights of the encoder of `vgg19`.
        """
        self.model, self._loss = model, loss
        self._temperature, self._unweight = temperature, unweight
        self._vgg16 = VGG16("block5_pool")
        self._vgg_preprocessing = vgg_preprocessing
        self.frozen: PyTree = {}
        self.record: Mapping[str, Any] = {}
        # The facts of a release about its weights, see `releases.file`.
        self.pretrained: Mapping[str, str] = {}
        if vgg16 is not None:
            params = require_torchvision(vgg16, "the colourisation network vgg16")
            self.frozen = {"vgg16": tree_on_device(params)}
            self.record = {"vgg16": {"origin": vgg16.origin, "sha256": vgg16.sha256}}
            digest = arrays_sha256(vgg16.params, layers=VGG16_CONVOLUTIONS)
            self.pretrained = {
                **weights_record(vgg16),
                "network": "vgg16",
                "layers_sha256": digest,
            }
        if vgg19 is not None:
            self._vgg19 = VGG19Encoder(5, vgg19.preprocessing)
            self.frozen = frozen_params({VGG19: vgg19})
            self.record = {VGG19: weights_record(vgg19)}
            self.pretrained = released_record(_VGG19_DEEPEST, vgg19)

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise the network."""
        luminance = rgb_to_lab(batch["image"])[..., :1]
        inputs = self._inputs(self.frozen, luminance)
        variables = dict(jax.jit(self.model.init)(key, inputs))
        params = variables.pop("params")
        count = len(bins.bin_centers())
        statistics = {"weights": jnp.ones(count), "mean_ab": jnp.zeros(2)}
        return params, {**variables, STATISTICS: statistics}

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """The loss over a batch of photos in [0, 255]."""
        images = batch["image"]
        height, width = images.shape[1:3]
        if height % self.multiple or width % self.multiple:
            raise ConfigError(
                "this colourisation network is trained on crops with sides that are "
                f"multiples of {self.multiple}, got {height}×{width}"
            )
        frozen = model_state.get("frozen", {})
        statistics = model_state[STATISTICS]
        state = {
            name: model_state[name]
            for name in model_state
            if name not in ("frozen", STATISTICS)
        }
        lab = rgb_to_lab(images)
        luminance, ab = lab[..., :1], lab[..., 1:]
        inputs = (self._inputs(frozen, luminance),)
        if self._loss == "bins":
            cells = _cell_means(ab)
            if train:
                inputs += (_draw_hints(cells, keys),)
                inputs += (keys,) if VGG19 in frozen else ()
        else:
            inputs += (train,) if state else ()
        outputs, updated = self.model.apply(
            {"params": params, **state}, *inputs, mutable=list(state)
        )
        if self._loss == "bins":
            weights = statistics["weights"]
            loss = _cross_entropy(outputs, cells, weights)
            chroma = self._decode(outputs, weights)
            error = chroma - cells
        else:
            chroma = AB_UNIT * outputs
            error = chroma - ab
            loss = jnp.mean(jnp.square(error / AB_UNIT))
        terms = {"ab_rmse": jnp.sqrt(jnp.mean(jnp.square(error)))}
        pictures = {}
        if not train:
            if self._loss == "bins":
                chroma = upsample_chroma(chroma, luminance)
            mean = jnp.broadcast_to(statistics["mean_ab"], ab.shape)
            pictures = {
                INPUT: to_rgb(luminance, jnp.zeros_like(ab)),
                OUTPUT: to_rgb(luminance, chroma),
                TARGET: images,
                MEAN_COLOR: to_rgb(luminance, mean),
            }
        return {ALL: loss}, Aux(terms, {**updated, STATISTICS: statistics}, pictures)

    def predict(
        self, variables: PyTree, luminance: jax.Array, hints: jax.Array | None = None
    ) -> jax.Array:
        """Chroma of L (n, h, w, 1), (n, h, w, 2) or at a quarter of the size.

        Args:
          variables: of the module, and `STATISTICS`.
          luminance: in [0, 100], with sides that are multiples of `multiple`.
          hints: see `model.Pyramid`.
        """
        inputs = (self._inputs(self.frozen, luminance),)
        if hints is not None:
            inputs += (hints,)
        state = {n: arrays for n, arrays in variables.items() if n != STATISTICS}
        outputs = self.model.apply(state, *inputs)
        if self._loss == "bins":
            return self._decode(outputs, variables[STATISTICS]["weights"])
        return AB_UNIT * outputs

    def _decode(self, logits, weights):
        return bins.decode(logits, self._temperature, weights, self._unweight)

    @property
    def multiple(self) -> int:
        """Sides of inputs are multiples of this number of pixels."""
        return 32 if "vgg16" in self.frozen else self.model.multiple

    @property
    def takes_hints(self) -> bool:
        """Whether the network is told known colours."""
        return self._loss == "bins"

    def _inputs(self, frozen, luminance):
        if VGG19 in frozen:
            gray = to_rgb(luminance, jnp.zeros((*luminance.shape[:-1], 2)))
            layers = self._vgg19.apply({"params": frozen[VGG19]}, gray)[1]
            return tuple(layers[name] for name in VGG19_LAYERS)
        if "vgg16" not in frozen:
            return luminance
        gray = jnp.repeat(luminance, 3, axis=-1)
        if self._vgg_preprocessing:
            gray = to_rgb(luminance, jnp.zeros_like(gray[..., :2]))
        else:
            # So that the preprocessing returns L itself.
            gray = 255.0 * (gray * _VGG_DEVIATION + _VGG_MEAN)
        return self._vgg16.apply({"params": frozen["vgg16"]}, gray)[0]


def to_rgb(luminance: jax.Array, chroma: jax.Array) -> jax.Array:
    """RGB in [0, 255] of L (..., 1) and a, b (..., 2), with this luminance."""
    return fit_into_rgb(jnp.concatenate([luminance, chroma], axis=-1))


def _cell_means(ab: jax.Array) -> jax.Array:
    n, height, width, channels = ab.shape
    size = OUTPUT_SCALE
    shape = n, height // size, size, width // size, size, channels
    return jnp.mean(ab.reshape(shape), axis=(2, 4))


def _cross_entropy(logits, cells, weights):
    """Mean over positions, each with the weight of its colour."""
    wanted = bins.encode(cells)
    weight = jnp.sum(wanted * weights, axis=-1)
    entropy = -jnp.sum(wanted * jax.nn.log_softmax(logits, axis=-1), axis=-1)
    return jnp.mean(weight * entropy)


def _draw_hints(cells: jax.Array, keys: jax.Array) -> jax.Array:
    def draw(key, cells):
        half, share, places = jax.random.split(key, 3)
        exponent = jax.random.uniform(
            share, (), jnp.float32, minval=_LEAST_KNOWN, maxval=-1.0
        )
        is_told = jax.random.bernoulli(half, jnp.float32(0.5))
        chance = jnp.where(is_told, jnp.float32(10.0) ** exponent, 0.0)
        drawn = jax.random.uniform(places, (*cells.shape[:2], 1), jnp.float32)
        mask = jnp.float32(drawn < chance)
        return jnp.concatenate([mask * cells, mask], axis=-1)

    return jax.vmap(draw)(keys, cells)


def prepare(config, objective, params: PyTree, model_state, crops):
    """Measure how often colours occur, and the mean colour; see `System.prepare`."""
    section = config.preparation
    sizes = section.num_photos, section.image_size, section.batch_size
    count_bins = jax.jit(lambda ab: jnp.sum(bins.encode(ab), axis=(0, 1, 2)))
    to_cells = jax.jit(lambda images: _cell_means(rgb_to_lab(images)[..., 1:]))
    shares, total, count = 0.0, 0.0, 0
    for images in crops(*sizes):
        cells = to_cells(images.astype(np.float32))
        shares = shares + np.asarray(count_bins(cells), np.float64)
        total = total + np.asarray(jnp.sum(cells, axis=(0, 1, 2)), np.float64)
        count += cells.size // 2
    statistics = {
        "weights": jnp.asarray(bins.rebalancing_weights(shares / shares.sum())),
        "mean_ab": jnp.asarray(total / count, jnp.float32),
    }
    return params, {**model_state, STATISTICS: statistics}


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> ColorizationObjective:
    """Build the objective of a config with the sections model and loss.

    Args:
      config: of the run.
      record: what `ColorizationObjective.record` was when the run began, or None.
    """
    name, loss = config.model.name, config.loss
    wanted = "bins" if name in ("pyramid", "vgg19") else "mse"
    if loss.name != wanted:
        raise ConfigError(
            f"loss.name must be {wanted!r} for the network {name}, got {loss.name!r}"
        )
    if not 0 < loss.temperature <= 1:
        raise ConfigError(f"loss.temperature must be in (0, 1], got {loss.temperature}")
    if not 0 <= loss.unweight <= 1:
        raise ConfigError(f"loss.unweight must be in [0, 1], got {loss.unweight}")
    model, encoders = make_model(config), {}
    if name == "vgg16":
        encoders["vgg16"] = _find_vgg16(config.model.weights, record)
    if name == "vgg19":
        encoders["vgg19"] = _find_vgg19(config.model.weights, record)
    return ColorizationObjective(
        model,
        loss=loss.name,
        temperature=loss.temperature,
        unweight=loss.unweight,
        **encoders,
        vgg_preprocessing=config.model.vgg_preprocessing,
    )


def _find_vgg19(named: str, record):
    weights = load_weights(_VGG19_DEEPEST, named, (record or {}).get(VGG19))
    if weights.preprocessing != "caffe":
        raise WeightsMismatchError(
            "the colourisation network vgg19 needs Keras' VGG19 weights, got "
            f"{weights.origin} with the preprocessing {weights.preprocessing!r}"
        )
    return weights


def _find_vgg16(named: str, record):
    if named == RANDOM_ORIGIN:
        return random_network_weights("vgg16")
    weights = load_network_weights("vgg16", named or None)
    recorded = (record or {}).get("vgg16") or {}
    fits = recorded.get("sha256", weights.sha256) == weights.sha256
    if "layers_sha256" in recorded:  # of a release
        fits = has_layers(weights, recorded["layers_sha256"], VGG16_CONVOLUTIONS)
    if not fits:
        raise WeightsMismatchError(
            f"this network was trained with the VGG16 weights {recorded['origin']} "
            f"(SHA-256 {recorded['sha256'][:12]}…), not with {weights.origin}: name "
            "the right file in model.weights"
        )
    return weights
