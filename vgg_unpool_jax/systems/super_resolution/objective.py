"""Train a network to enlarge photos.

    loss = pixel · (l1, l2 or psnr) + content · content + adversarial · adversarial

| term | of a photo |
|---|---|
| `l1` | mean absolute difference, on the scale of [0, 1] |
| `l2` | mean squared difference, on the scale of [0, 1] |
| `psnr` | 10 log10 of the mean squared difference plus (1/255)² |
| content | mean squared difference of VGG19's features at `loss.layer` |
| adversarial | cross entropy of the discriminator's patches with "real" |

`loss.then` takes the place of `loss.name` in the last part of the run.

The parts are "generator" and, with an adversarial term, "discriminator"; either rests
by the rule of `losses/adversarial.py` if `loss.pause` is set. Gradients of both are
taken at the same parameters, from one forward pass.

Faults of AIDL_Project, each of which has a switch: VGG19 sees images in [-1, 1]
instead of those of its training (`loss.vgg_preprocessing=False`), and the discriminator
learns with the mean squared error of its probabilities, the generator with cross
entropy (`loss.discriminator="mse"`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.losses.adversarial import PauseRule
from vgg_unpool_jax.ops.blocks import repeat_pixels
from vgg_unpool_jax.ops.placing import tree_on_device
from vgg_unpool_jax.pretrained.feature_layers import (
    VGG19,
    FeatureLayer,
    frozen_params,
    load_layers,
)
from vgg_unpool_jax.pretrained.recorded import weights_record
from vgg_unpool_jax.systems.saved import read_saved
from vgg_unpool_jax.systems.super_resolution.discriminator import PatchDiscriminator
from vgg_unpool_jax.systems.super_resolution.model import WHITE, make_model
from vgg_unpool_jax.training.system import Aux, PyTree

PIXEL_LOSSES = ("l1", "l2", "psnr")
DISCRIMINATOR_LOSSES = ("cross_entropy", "mse")
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
# Entry of the model state with that of the pause rule.
PAUSE = "pause"
_STATISTICS = "batch_stats"


@dataclasses.dataclass(frozen=True)
class Losses:
    """The terms of the loss and their coefficients.

    Attributes:
      names: two of `PIXEL_LOSSES`.
      step: from which the second is taken.
      pixel: coefficient of the pixel loss.
      content: coefficient of the content loss.
      adversarial: coefficient of the adversarial loss.
      discriminator: one of `DISCRIMINATOR_LOSSES`.
      preprocess: whether VGG19 gets the images of its training.
    """

    names: tuple[str, str]
    step: int
    pixel: float
    content: float
    adversarial: float
    discriminator: str
    preprocess: bool

    def __post_init__(self):
        coefficients = self.pixel, self.content, self.adversarial
        if min(coefficients) < 0 or not max(coefficients[:2]) > 0:
            raise ConfigError(
                "loss coefficients must not be negative, and pixel or content must be "
                f"positive, got {self}"
            )


class SuperResolutionObjective:
    """The objective of an upscaler; see `training/system.Objective`."""

    def __init__(
        self,
        model: nn.Module,
        factor: int,
        losses: Losses,
        *,
        discriminator: nn.Module | None = None,
        layer: FeatureLayer | None = None,
        frozen: PyTree = None,
        record: Mapping[str, Any] | None = None,
        pause: PauseRule | None = None,
    ):
        """Put models and losses together.

        Args:
          model: of `make_model`.
          factor: of the sides.
          losses: the terms.
          discriminator: for the adversarial term.
          layer: of VGG19, for the content term.
          frozen: "vgg19" -> its parameters.
          record: "vgg19" -> facts about them.
          pause: who rests; None for nobody.
        """
        self.model, self.factor = model, factor
        self.frozen, self.record = frozen or {}, record or {}
        self._losses, self._discriminator = losses, discriminator
        self._layer, self._pause = layer, pause

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise the networks."""
        keys = jax.random.split(key)
        found = {GENERATOR: jax.jit(self.model.init)(keys[0], batch["input"])}
        if self._discriminator is not None:
            init = jax.jit(self._discriminator.init)
            found[DISCRIMINATOR] = init(keys[1], batch["image"])
        params = {part: variables["params"] for part, variables in found.items()}
        statistics = {
            part: variables[_STATISTICS]
            for part, variables in found.items()
            if _STATISTICS in variables
        }
        state = {_STATISTICS: statistics} if statistics else {}
        if self._pause is not None:
            state[PAUSE] = self._pause.initial_state()
        return params, state

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """The losses over a batch of reduced images in [0, 255]."""
        del keys  # nothing is random
        targets, inputs = batch["image"], batch["input"]
        state = {name: model_state[name] for name in model_state if name != "frozen"}
        statistics = dict(state.get(_STATISTICS, {}))

        def apply(part, module, images):
            variables = {"params": params[part]}
            if part in statistics:
                variables[_STATISTICS] = statistics[part]
            found, updated = module.apply(
                variables, images, train, mutable=list(variables)[1:]
            )
            if updated:
                statistics[part] = updated[_STATISTICS]
            return found

        outputs = apply(GENERATOR, self.model, inputs)
        error = (outputs - targets) / WHITE
        terms = {"psnr": -10.0 * jnp.log10(jnp.mean(jnp.square(error)))}
        loss = self._losses.pixel * self._pixel_loss(error, batch, train)
        if self._losses.content:
            frozen = model_state["frozen"]
            terms["content"] = self._content_loss(frozen, outputs, targets)
            loss += self._losses.content * terms["content"]
        found, active = {GENERATOR: loss}, {}
        if self._discriminator is not None:
            fake = apply(DISCRIMINATOR, self._discriminator, outputs)
            real = apply(DISCRIMINATOR, self._discriminator, targets)
            terms["adversarial"] = jnp.mean(jax.nn.softplus(-fake))
            found[GENERATOR] += self._losses.adversarial * terms["adversarial"]
            found[DISCRIMINATOR] = self._discriminator_loss(fake, real)
            terms["share_real"] = jnp.mean(jnp.float32(real > 0))
            terms["share_fake"] = jnp.mean(jnp.float32(fake > 0))
            if self._pause is not None:
                active = self._rest(state, terms, found[DISCRIMINATOR], train)
        if statistics:
            state[_STATISTICS] = statistics
        pictures = {}
        if not train:
            # As large as the target: each pixel as a square.
            shown = repeat_pixels(inputs, self.factor)
            pictures = {INPUT: shown, OUTPUT: outputs, TARGET: targets}
        return found, Aux(terms, state, pictures, active)

    def _pixel_loss(self, error, batch, train):
        squares = jnp.mean(jnp.square(error), axis=(1, 2, 3))
        values = {
            "l1": jnp.mean(jnp.abs(error)),
            "l2": jnp.mean(squares),
            "psnr": jnp.mean(10.0 * jnp.log10(squares + (1 / WHITE) ** 2)),
        }
        first, then = (values[name] for name in self._losses.names)
        if not train:
            return first
        return jnp.where(batch["step"] < self._losses.step, first, then)

    def _content_loss(self, frozen, outputs, targets):
        pair = outputs, targets
        if not self._losses.preprocess:
            # What the preprocessing of the weights makes [-1, 1] of.
            pair = (_as_published(x, self._layer.preprocessing) for x in pair)
        found, wanted = (self._layer.apply(frozen[VGG19], x) for x in pair)
        return jnp.mean(jnp.square(found - wanted))

    def _discriminator_loss(self, fake, real):
        if self._losses.discriminator == "mse":
            fake, real = jax.nn.sigmoid(fake), jax.nn.sigmoid(real)
            return 0.5 * jnp.mean(jnp.square(fake) + jnp.square(real - 1.0))
        return jnp.mean(jax.nn.softplus(fake)) + jnp.mean(jax.nn.softplus(-real))

    def _rest(self, state, terms, discriminator_loss, train):
        active = self._pause.decide(state[PAUSE])
        terms["ratio"] = self._pause.ratio(state[PAUSE])
        if train:
            both = discriminator_loss, terms["adversarial"]
            state[PAUSE] = self._pause.next_state(active, both)
        named = dict(zip((DISCRIMINATOR, GENERATOR), active, strict=True))
        terms |= {f"{part}_on": jnp.float32(flag) for part, flag in named.items()}
        return named


def _as_published(images: jax.Array, preprocessing: str) -> jax.Array:
    """Images that the preprocessing turns into RGB in [-1, 1]."""
    signed = images / (WHITE / 2) - 1.0
    if preprocessing == "caffe":
        mean = jnp.asarray([123.68, 116.779, 103.939], jnp.float32)
        return signed + mean[None, None, None]
    mean, deviation = (
        jnp.asarray(values, jnp.float32)[None, None, None]
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return WHITE * (signed * deviation + mean)


def prepare(config, objective, params: PyTree, model_state, crops):
    """Start from the generator of another run; see `training/system.System`."""
    del objective, crops
    named = config.initialize_shared_from
    if not named:
        return params, model_state
    saved = read_saved(named, "super_resolution")
    if saved.config.model.to_dict() != config.model.to_dict():
        raise ConfigError(
            f"initialize_shared_from: {named} has the generator "
            f"{saved.config.model.to_dict()}, expected {config.model.to_dict()}"
        )
    params = {
        **params,
        GENERATOR: tree_on_device(saved.variables["params"][GENERATOR]),
    }
    known = saved.variables.get(_STATISTICS, {})
    if GENERATOR in known:
        statistics = {
            **model_state[_STATISTICS],
            GENERATOR: tree_on_device(known[GENERATOR]),
        }
        model_state = {**model_state, _STATISTICS: statistics}
    return params, model_state


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> SuperResolutionObjective:
    """Build the objective of a config with the sections model and loss.

    Args:
      config: of the run.
      record: what `SuperResolutionObjective.record` was when the run began, or None.
    """
    loss = config.loss
    for field, known in (
        ("name", PIXEL_LOSSES),
        ("then", PIXEL_LOSSES),
        ("discriminator", DISCRIMINATOR_LOSSES),
    ):
        if loss[field] not in known:
            raise ConfigError(
                f"loss.{field} must be one of {', '.join(known)}, got {loss[field]!r}"
            )
    if not 0 <= loss.then_from <= 1:
        raise ConfigError(f"loss.then_from must be in [0, 1], got {loss.then_from}")
    losses = Losses(
        (loss.name, loss.then),
        round(loss.then_from * config.num_steps),
        loss.pixel,
        loss.content,
        loss.adversarial,
        loss.discriminator,
        loss.vgg_preprocessing,
    )
    options = {}
    if losses.content:
        layers = [FeatureLayer(VGG19, loss.layer)]
        (layer,), weights = load_layers(layers, {VGG19: loss.weights}, record)
        facts = {network: weights_record(found) for network, found in weights.items()}
        options = {"layer": layer, "frozen": frozen_params(weights), "record": facts}
    if losses.adversarial:
        options["discriminator"] = PatchDiscriminator(loss.discriminator_width)
        options["pause"] = PauseRule() if loss.pause else None
    return SuperResolutionObjective(
        make_model(config), config.model.factor, losses, **options
    )


def upscaler_from_config(config: ml_collections.ConfigDict):
    """The objective of a config without what only its training needs."""
    config = config.copy_and_resolve_references()
    config.loss.pixel, config.loss.content, config.loss.adversarial = 1.0, 0.0, 0.0
    return from_config(config)
