"""Train a learned codec: bits per pixel plus λ times the squared error.

Every photo of a training batch is coded at a quality that its own key draws. Rates are
those of latents with uniform noise; what is decoded, and what predictions are made
from, is rounded, with the gradient of the identity (before `rounding_from` of the run
it has the noise too). In evaluation everything is rounded, and a photo is coded at all
qualities. LPIPS and DISTS may be part of the distortion, with coefficients in squared
grey levels.

Source: Ballé et al. 2018 for rates by noise; Minnen and Singh 2020 for both at once.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.systems.codec.entropy import (
    logistic_bits,
    mixture_bits,
    scale_of,
)
from vgg_unpool_jax.systems.codec.model import Codec
from vgg_unpool_jax.systems.codec.quantizer import add_noise, round_straight_through
from vgg_unpool_jax.systems.perceptual_terms import PerceptualTerms, load_terms
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

# Outputs of evaluation beside the images: (n, num_qualities) each.
BITS_PER_PIXEL, SQUARED_ERROR = "bits_per_pixel", "squared_error"


@dataclasses.dataclass(frozen=True)
class RateDistortion:
    """The loss.

    Attributes:
      lambdas: λ of each quality, rising: the price of a unit of the squared error on
        the scale of [0, 255], in bits per pixel.
      rounding_steps: number of steps after which what is decoded is rounded.
    """

    lambdas: tuple[float, ...]
    rounding_steps: int

    def __post_init__(self):
        pairs = zip(self.lambdas, self.lambdas[1:], strict=False)
        rising = all(first < second for first, second in pairs)
        if not self.lambdas or not rising or self.lambdas[0] <= 0:
            raise ConfigError(
                f"loss.lambdas must be positive and rising, got {list(self.lambdas)}"
            )


class CodecObjective:
    """The objective of a learned codec; see `training/system.Objective`."""

    def __init__(
        self,
        model: Codec,
        loss: RateDistortion,
        perceptual: PerceptualTerms = PerceptualTerms(),  # noqa: B008, of no state
    ):
        """Put model, loss and further terms of the distortion together."""
        self.model, self.loss, self._perceptual = model, loss, perceptual
        self.frozen: PyTree = perceptual.frozen
        self.record: Mapping[str, Any] = perceptual.record

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise all parts."""
        images = batch["image"]
        _check_size(images, self.model.hyper_stride)
        quality = jnp.zeros(len(images), jnp.int32)
        variables = jax.jit(self.model.init)(key, images, quality)
        return variables["params"], {"statistics": variables["statistics"]}

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """Mean of rate + λ distortion, of a quality each or in evaluation of all."""
        images, count = batch["image"], len(self.loss.lambdas)
        _check_size(images, self.model.hyper_stride)
        statistics = {"statistics": model_state["statistics"]}
        variables = {"params": params, **statistics}
        if train:
            draws = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
            quality = jax.vmap(lambda key: jax.random.randint(key, (), 0, count))(
                draws[:, 2]
            )
            soft = batch["step"] < self.loss.rounding_steps
            bits, decoded = self._code(variables, images, quality, draws, soft)
        else:
            each = jnp.repeat(images, count, axis=0)
            quality = jnp.tile(jnp.arange(count, dtype=jnp.int32), len(images))
            bits, decoded = self._code(variables, each, quality)
            images, targets = each, images
        lambdas = jnp.asarray(self.loss.lambdas, jnp.float32)[quality]
        pixels = images.shape[1] * images.shape[2]
        rate = bits / pixels
        error = jnp.mean(jnp.square(decoded - images), axis=(1, 2, 3))
        added, distances = self._perceptual(
            model_state.get("frozen", {}), decoded, images
        )
        loss = jnp.mean(rate + lambdas * (error + added))
        terms = {"bits_per_pixel": jnp.mean(rate), "l2": jnp.mean(error)}
        terms |= {name: jnp.mean(values) for name, values in distances.items()}
        outputs = {}
        if not train:
            shape = (len(targets), count)
            rates, errors = rate.reshape(shape), error.reshape(shape)
            psnr = jnp.mean(10 * jnp.log10(255**2 / jnp.maximum(errors, 1e-6)), axis=0)
            for index in range(count):
                name = f"quality{index + 1}"
                terms[f"{name}_bits_per_pixel"] = jnp.mean(rates[:, index])
                terms[f"{name}_psnr"] = psnr[index]
            shown = decoded.reshape(*shape, *decoded.shape[1:])[:, count // 2]
            outputs = {INPUT: targets, OUTPUT: shown, TARGET: targets}
            outputs |= {BITS_PER_PIXEL: rates, SQUARED_ERROR: errors}
        return {ALL: loss}, Aux(terms, statistics, outputs)

    def _code(self, variables, images, quality, keys=None, soft=None):
        """Bits (n,) and decoded images; without keys everything is rounded."""

        def apply(method, *arguments):
            return self.model.apply(variables, *arguments, method=method)

        scaled = apply("encode", images, quality)
        hyper = apply("encode_hyper", scaled)
        integers, hyper_integers = map(round_straight_through, (scaled, hyper))
        counted, hyper_counted = integers, hyper_integers
        if keys is not None:
            counted = add_noise(scaled, keys[:, 0])
            hyper_counted = add_noise(hyper, keys[:, 1])
            integers = jnp.where(soft, counted, integers)
            hyper_integers = jnp.where(soft, hyper_counted, hyper_integers)
        means, indices = apply("predict", hyper_integers, integers, quality)
        bits = jnp.sum(logistic_bits(counted, means, scale_of(indices)), axis=(1, 2, 3))
        density = apply("hyper_density", quality)
        bits += jnp.sum(mixture_bits(hyper_counted, *density), axis=(1, 2, 3))
        return bits, apply("decode", integers, quality)


def _check_size(images: jax.Array, multiple: int) -> None:
    height, width = images.shape[1:3]
    if height % multiple or width % multiple:
        raise ConfigError(
            f"a codec is trained on crops with sides that are multiples of "
            f"{multiple}, got {height}×{width}"
        )


def from_config(
    config: ml_collections.ConfigDict,
    record: Mapping[str, Any] | None = None,
    *,
    with_terms: bool = True,
) -> CodecObjective:
    """Build the objective of a config with the sections model and loss.

    Args:
      config: of the run.
      record: what the objective's `record` was when the run began, or None.
      with_terms: False leaves the terms of LPIPS and DISTS away, and their weights.
    """
    share, steps = config.loss.rounding_from, config.num_steps
    if not 0 <= share <= 1:
        raise ConfigError(f"loss.rounding_from must be in [0, 1], got {share}")
    if share and not steps:
        raise ConfigError(
            "loss.rounding_from is a share of num_steps, which is 0: set num_steps, "
            f"or rounding_from to 0; got {share}"
        )
    loss = RateDistortion(tuple(config.loss.lambdas), round(share * steps))
    terms = load_terms(config.loss, record) if with_terms else PerceptualTerms()
    return CodecObjective(make_model(config), loss, terms)


def make_model(config: ml_collections.ConfigDict) -> Codec:
    """The module of a config."""
    fields = {
        name: tuple(value) if isinstance(value, list | tuple) else value
        for name, value in config.model.to_dict().items()
    }
    flat = [number for value in fields.values() for number in _numbers(value)]
    if any(not isinstance(number, int) or number < 0 for number in flat):
        raise ConfigError(f"the section model must hold whole numbers, got {fields}")
    if not 0 <= fields["checkerboards"] <= len(fields["groups"]):
        raise ConfigError(
            "model.checkerboards must be 0 to the number of model.groups, got "
            f"{fields['checkerboards']}"
        )
    return Codec(**fields, num_qualities=len(config.loss.lambdas))


def _numbers(value):
    return value if isinstance(value, tuple) else (value,)
