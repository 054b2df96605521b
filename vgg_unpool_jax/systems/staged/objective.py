"""Train each stage of a decoder on the encoder's own features, changed and unchanged.

    loss = image · L1 + features · Σ L1 of targets + reencoding · Σ L1 of inputs

image is that of the last stage, in grey levels; features are the outputs of the other
stages, divided by the RMS of their channels. For the last term a stage makes outputs of
changed features, exact as in use (see `decoder`), and VGG19's two convolutions make
features of these, which should be the changed ones; divided by the RMS, too.

Changed features are those of a photo with the mean and deviation of another photo's,
channel by channel, at a strength of 0 to 1 that is drawn; the statistics of the other
photos are kept with the model's state ("bank").
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder, preprocess
from vgg_unpool_jax.ops.convolution import convolve
from vgg_unpool_jax.ops.placing import tree_on_device
from vgg_unpool_jax.pretrained.recorded import (
    find_weights,
    load_recorded_weights,
    weights_record,
)
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.systems.staged.decoder import (
    BLOCK,
    IMAGE,
    STAGES,
    Encoding,
    StagedDecoder,
    decode,
    encode,
    input_name,
    target_name,
)
from vgg_unpool_jax.systems.unpooling.decoder import (
    STATISTICS,
    floored_rms,
    mean_squares,
)
from vgg_unpool_jax.systems.unpooling.objective import COMPUTE_DTYPES
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

# Entry of the model state with the statistics of other photos.
BANK = "bank"
TERMS = ("image", "features", "reencoding")


class StagedObjective:
    """The objective of a staged decoder; see `training/system.Objective`."""

    def __init__(
        self,
        encoder: VGG19Encoder,
        decoder: StagedDecoder,
        weights: VGG19Weights,
        coefficients: Mapping[str, float],
        bank_size: int,
    ):
        """Combine models and weights.

        Args:
          encoder: cut at `decoder.BLOCK`, with the weights' preprocessing.
          decoder: the module.
          weights: the encoder's parameters and where they come from.
          coefficients: of `TERMS`.
          bank_size: number of photos whose statistics others may get.
        """
        values = [coefficients[name] for name in TERMS]
        if min(values) < 0 or not values[0] or not values[1] or bank_size < 1:
            raise ConfigError(
                "loss.image and loss.features must be positive, loss.reencoding not "
                f"negative and bank_size at least 1, got {dict(coefficients)} and "
                f"{bank_size}"
            )
        self.encoder, self.decoder = encoder, decoder
        self.bank_size, self._coefficients = bank_size, dict(coefficients)
        self.frozen = {"encoder": tree_on_device(weights.params)}
        self.record = {"vgg19": weights_record(weights)}

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """New parameters, and the statistics of the batch."""
        encoding = encode(self.encoder, self.frozen["encoder"], batch["image"])
        params = jax.jit(self.decoder.init)(key, encoding.inputs)["params"]
        squares = self.mean_squares(encoding)
        bank = jax.tree.map(
            lambda array: jnp.resize(array, (self.bank_size, *array.shape[1:])),
            photo_statistics(encoding),
        )
        rms = {name: floored_rms(values) for name, values in squares.items()}
        return params, {STATISTICS: rms, BANK: bank}

    @staticmethod
    def mean_squares(encoding: Encoding) -> dict[str, jax.Array]:
        """Mean square (c,) of the channels at both ends of the stages."""
        found = {}
        for number in range(len(STAGES)):
            found[input_name(number)] = mean_squares(encoding.inputs[number])
            if number != IMAGE:
                found[target_name(number)] = mean_squares(encoding.targets[number])
        return found

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """The sum of the terms; without changed features in evaluation.

        The output is in evaluation the image of all stages in a row, in training that
        of the last one.
        """
        model_state = dict(model_state)
        frozen = model_state.pop("frozen")["encoder"]
        images = batch["image"]
        encoding = jax.lax.stop_gradient(encode(self.encoder, frozen, images))
        statistics = model_state[STATISTICS]
        variables = {"params": params, STATISTICS: statistics}
        changes = train and self._coefficients["reencoding"] > 0
        if changes:
            bank = model_state[BANK]
            changed = jax.vmap(_changed, in_axes=(0, 0, None))(
                encoding.inputs, keys, bank
            )
        terms = dict.fromkeys(TERMS if changes else TERMS[:2], 0.0)
        for number, (true, target) in enumerate(zip(*encoding, strict=True)):
            inputs = jnp.concatenate([true, changed[number]]) if changes else true
            outputs = self.decoder.apply(variables, number, inputs, method="stage")
            found = outputs[: len(true)]
            error = jnp.abs(found - target)
            if number == IMAGE:
                terms["image"] = jnp.mean(error)
            else:
                rms = statistics[target_name(number)]
                terms["features"] += jnp.mean(error / rms[None, None, None])
            if changes:
                made = outputs[len(true) :] + (target - found)
                if number != IMAGE:
                    made = jnp.maximum(made, 0.0)
                again = self._encode_stage(frozen, number, made)
                rms = statistics[input_name(number)]
                difference = jnp.abs(again - changed[number])
                terms["reencoding"] += jnp.mean(difference / rms[None, None, None])
        total = sum(self._coefficients[name] * term for name, term in terms.items())
        outputs = found if train else decode(self.decoder, variables, encoding)
        pictures = {INPUT: images, OUTPUT: outputs, TARGET: images}
        return {ALL: total}, Aux(terms, model_state, pictures)

    def _encode_stage(self, params, number: int, outputs: jax.Array) -> jax.Array:
        if number == IMAGE:
            outputs = preprocess(outputs, self.encoder.preprocessing)
        for layer in reversed(STAGES[number]):
            weights = params[layer.name]
            outputs = convolve(outputs, weights["kernel"], weights["bias"], relu=True)
        return outputs


def photo_statistics(encoding: Encoding) -> list[tuple[jax.Array, jax.Array]]:
    """Mean and deviation (n, c) of each photo's channels, at all inputs."""
    return [
        (jnp.mean(x, axis=(1, 2)), jnp.std(x, axis=(1, 2))) for x in encoding.inputs
    ]


def _changed(inputs, key, bank):
    """Features (h, w, c) of one photo with statistics of another, stage by stage."""
    found = []
    for number, (x, (means, deviations)) in enumerate(zip(inputs, bank, strict=True)):
        which, how_far = jax.random.split(jax.random.fold_in(key, number))
        index = jax.random.randint(which, (), 0, len(means))
        strength = jax.random.uniform(how_far)
        mean, deviation = jnp.mean(x, axis=(0, 1)), jnp.std(x, axis=(0, 1))
        # As `applications.stylization.transforms` has it, a share of the mean variance.
        ridge = 1e-2 * jnp.mean(jnp.square(deviation)) + 1e-6
        theirs = 1e-2 * jnp.mean(jnp.square(deviations[index])) + 1e-6
        gain = jnp.sqrt(
            (jnp.square(deviations[index]) + theirs) / (jnp.square(deviation) + ridge)
        )
        moved = (x - mean[None, None]) * gain[None, None] + means[index][None, None]
        found.append(jnp.maximum(x + strength * (moved - x), 0.0))
    return tuple(found)


def make_models(
    config: ml_collections.ConfigDict, preprocessing: str
) -> tuple[VGG19Encoder, StagedDecoder]:
    """The two modules of a config, for weights of this preprocessing."""
    if config.encoder.block != BLOCK:
        raise ConfigError(
            f"encoder.block must be {BLOCK} for a staged decoder, got "
            f"{config.encoder.block}"
        )
    name = config.compute_dtype
    if name not in COMPUTE_DTYPES:
        raise ConfigError(
            f"compute_dtype must be one of {', '.join(COMPUTE_DTYPES)}, got {name!r}"
        )
    compute = {"dtype": COMPUTE_DTYPES[name], "convolution": config.convolution}
    return (
        VGG19Encoder(BLOCK, preprocessing, **compute),
        StagedDecoder(**config.decoder.to_dict(), **compute),
    )


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> StagedObjective:
    """The objective of a config.

    Args:
      config: of the run.
      record: of the run that is resumed or loaded, or None.
    """
    if record:
        weights = load_recorded_weights(config.encoder, record.get("vgg19"))
    else:
        weights = find_weights(config.encoder)
    encoder, decoder = make_models(config, weights.preprocessing)
    coefficients = config.loss.to_dict()
    return StagedObjective(encoder, decoder, weights, coefficients, config.bank_size)
