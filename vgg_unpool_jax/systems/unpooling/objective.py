"""Train an unpooling decoder to reconstruct photos from the features of a frozen VGG19.

    loss = w1·L1 + w2·L2 + w3·(1 - MS-SSIM) + w4·perceptual + w5·LPIPS + w6·DISTS

The perceptual term is the mean squared error between the encoder's features of the
photo and of its reconstruction. The encoder runs once on the photo and, unless the
coefficient of the perceptual term is 0, once on the reconstruction; its parameters are
inputs of the step without gradient, and so are the networks of LPIPS and DISTS.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.losses import l1, l2, ms_ssim_loss, perceptual
from vgg_unpool_jax.nets.convolution import AUTO, BLOCK_INPUT
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.ops.convolution import IMPLEMENTATIONS
from vgg_unpool_jax.ops.placing import tree_on_device
from vgg_unpool_jax.pretrained.recorded import (
    find_weights,
    load_recorded_weights,
    weights_record,
)
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.systems.perceptual_terms import PerceptualTerms, load_terms
from vgg_unpool_jax.systems.unpooling.decoder import (
    STATISTICS,
    UPSAMPLINGS,
    UnpoolingDecoder,
    floored_rms,
    mean_squares,
    measure_feature_rms,
)
from vgg_unpool_jax.systems.unpooling.initialization import (
    check_initialization,
    initialize_kernels,
)
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

# Arrays of the forward pass that are kept for the gradient: all that it needs, or only
# the input of each block, from which the rest is recomputed.
REMAT = ("none", "blocks")

# Dtypes of activations and products by their name in the config.
COMPUTE_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class LossCoefficients:
    """Coefficients of the terms; a term with coefficient 0 is not computed.

    Those of LPIPS and DISTS are in `perceptual_terms`.
    """

    l1: float
    l2: float
    ms_ssim: float
    perceptual: float

    def __post_init__(self):
        if not min(dataclasses.astuple(self)) >= 0:
            raise ConfigError(f"loss coefficients must not be negative, got {self}")


class UnpoolingObjective:
    """The objective of one encoder-decoder pair; see `training/system.Objective`."""

    def __init__(
        self,
        encoder: VGG19Encoder,
        decoder: UnpoolingDecoder,
        weights: VGG19Weights,
        coefficients: LossCoefficients,
        *,
        remat: str = "none",
        initialization: str = "he",
        perceptual: PerceptualTerms = PerceptualTerms(),  # noqa: B008, of no state
    ):
        """Combine the models and weights of a pair.

        Args:
          encoder: cut at the block of the decoder, with the weights' preprocessing.
          decoder: its mirror.
          weights: the encoder's parameters and where they come from.
          coefficients: of the loss terms.
          remat: one of `REMAT`: arrays of the forward pass kept for the gradient.
          initialization: of the decoder's kernels; see `initialize_kernels`.
          perceptual: the terms of LPIPS and DISTS.
        """
        check_initialization(initialization)
        if remat not in REMAT:
            raise ConfigError(f"remat must be one of {', '.join(REMAT)}, got {remat!r}")
        if not any(dataclasses.astuple(coefficients)) and not perceptual.frozen:
            raise ConfigError(
                "one of the loss coefficients must be positive, all are 0"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.coefficients = coefficients
        self.remat = remat
        self.initialization = initialization
        params = tree_on_device(weights.params)
        self.frozen = {"encoder": params, **perceptual.frozen}
        self.record = {"vgg19": weights_record(weights), **perceptual.record}
        self._perceptual = perceptual

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise the decoder and measure its input statistics on the batch."""
        features, switches = self._encode(self.frozen["encoder"], batch["image"])
        params = initialize_kernels(
            self.initialization,
            key,
            jax.jit(self.decoder.init)(key, features, switches)["params"],
            self.frozen["encoder"],
        )
        model_state = {}
        if self.decoder.normalize_features:
            rms = measure_feature_rms(features.astype(jnp.float32))
            model_state = {STATISTICS: {"feature_rms": rms}}
        return params, model_state

    def measure_feature_rms(self, photos: Iterable[np.ndarray]) -> jax.Array:
        """RMS (c,) of the decoder's input channels over batches (n, h, w, 3)."""
        squares = jax.jit(
            lambda frozen, images: (
                len(images)
                * mean_squares(
                    self._encode_features(frozen, images.astype(jnp.float32))
                )
            )
        )
        sums, count = 0.0, 0
        for images in photos:
            sums += squares(self.frozen["encoder"], images)
            count += len(images)
        return floored_rms(sums / count)

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """Sum of the terms times their coefficients, of images in [0, 255]."""
        del keys, train  # nothing is random, and training is like evaluation
        model_state = dict(model_state)
        frozen = model_state.pop("frozen")
        images = batch["image"]
        features, switches = self._encode(frozen["encoder"], images)
        features = jax.lax.stop_gradient(features)
        functions = self._decode, self._encode_features, self._perceptual
        if self.remat == "blocks":
            functions = map(_keep_block_inputs, functions)
        decode, encode, distances = functions
        outputs = decode({"params": params, **model_state}, features, switches)
        compute = {
            "l1": lambda: l1(outputs, images),
            "l2": lambda: l2(outputs, images),
            "ms_ssim": lambda: ms_ssim_loss(outputs, images),
            "perceptual": lambda: perceptual(
                encode(frozen["encoder"], outputs), features
            ),
        }
        coefficients = dataclasses.asdict(self.coefficients)
        terms = {name: compute[name]() for name, c in coefficients.items() if c}
        total = sum((coefficients[name] * term for name, term in terms.items()), 0.0)
        cost, metrics = distances(frozen, outputs, images)
        total += jnp.mean(cost)
        terms |= {name: jnp.mean(values) for name, values in metrics.items()}
        if "ms_ssim" in terms:  # `ms_ssim` is the metric, 1 - loss
            terms["ms_ssim_loss"] = terms.pop("ms_ssim")
        pictures = {INPUT: images, OUTPUT: outputs, TARGET: images}
        return {ALL: total}, Aux(terms, model_state, pictures)

    def _encode(self, encoder_params, images):
        features, intermediates = self.encoder.apply({"params": encoder_params}, images)
        return features, intermediates["switches"]

    def _encode_features(self, encoder_params, images):
        return self._encode(encoder_params, images)[0]

    def _decode(self, variables, features, switches):
        return self.decoder.apply(variables, features, switches)[0]


def _keep_block_inputs(function):
    policy = jax.checkpoint_policies.save_only_these_names(BLOCK_INPUT)
    return jax.checkpoint(function, policy=policy)


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> UnpoolingObjective:
    """Build the objective of a config.

    Args:
      config: with sections encoder, decoder and loss.
      record: what `UnpoolingObjective.record` was when the run began, or None.
    """
    if record:
        weights = load_recorded_weights(config.encoder, record.get("vgg19"))
    else:
        weights = find_weights(config.encoder)
    encoder, decoder = make_pair_models(config, weights.preprocessing)
    names = [field.name for field in dataclasses.fields(LossCoefficients)]
    coefficients = LossCoefficients(**{name: config.loss[name] for name in names})
    return UnpoolingObjective(
        encoder,
        decoder,
        weights,
        coefficients,
        remat=config.get("remat", "none"),
        initialization=config.get("initialization", "he"),
        perceptual=load_terms(config.loss, record, dtype=encoder.dtype),
    )


def make_pair_models(
    config: ml_collections.ConfigDict, preprocessing: str
) -> tuple[VGG19Encoder, UnpoolingDecoder]:
    """The two modules of a config, for weights of this preprocessing."""
    block = config.encoder.block
    name = config.get("compute_dtype", "float32")
    if name not in COMPUTE_DTYPES:
        raise ConfigError(
            f"compute_dtype must be one of {', '.join(COMPUTE_DTYPES)}, got {name!r}"
        )
    convolution = config.get("convolution", AUTO)
    if convolution not in (AUTO, *IMPLEMENTATIONS):
        raise ConfigError(
            f"convolution must be one of {', '.join((AUTO, *IMPLEMENTATIONS))}, got "
            f"{convolution!r}"
        )
    upsampling = config.decoder.get("upsampling", "unpool")
    if upsampling not in UPSAMPLINGS:
        raise ConfigError(
            f"decoder.upsampling must be one of {', '.join(UPSAMPLINGS)}, got "
            f"{upsampling!r}"
        )
    compute = {"dtype": COMPUTE_DTYPES[name], "convolution": convolution}
    return (
        VGG19Encoder(block, preprocessing, **compute),
        UnpoolingDecoder(block, **config.decoder.to_dict(), **compute),
    )
