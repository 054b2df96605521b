"""Train an unpooling decoder to reconstruct photos from the features of a frozen VGG19.

    loss = w1·L1 + w2·L2 + w3·(1 - MS-SSIM) + w4·perceptual

The perceptual term is the mean squared error between the encoder's features of the
photo and of its reconstruction. The encoder runs once on the photo and, unless the
coefficient of the perceptual term is 0, once on the reconstruction; its parameters are
inputs of the step without gradient.
"""

import dataclasses
import logging
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import (
    ConfigError,
    WeightsMismatchError,
    WeightsUnavailableError,
)
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.losses import l1, l2, ms_ssim_loss, perceptual
from vgg_unpool_jax.nets.convolution import AUTO, BLOCK_INPUT
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.ops.convolution import IMPLEMENTATIONS
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.vgg19 import (
    VGG19Weights,
    arrays_sha256,
    random_vgg19_weights,
)
from vgg_unpool_jax.systems.unpooling.decoder import (
    STATISTICS,
    UPSAMPLINGS,
    UnpoolingDecoder,
    measure_feature_rms,
)
from vgg_unpool_jax.systems.unpooling.initialization import (
    check_initialization,
    initialize_kernels,
)
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

# Name of random weights in a config, with which their origin begins, too.
RANDOM_ORIGIN = "random"
# What a record says of weights.
_FACTS = ("origin", "sha256", "preprocessing")

# Arrays of the forward pass that are kept for the gradient: all that it needs, or only
# the input of each block, from which the rest is recomputed.
REMAT = ("none", "blocks")

# Dtypes of activations and products by their name in the config.
COMPUTE_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LossCoefficients:
    """Coefficients of the four terms; a term with coefficient 0 is not computed."""

    l1: float
    l2: float
    ms_ssim: float
    perceptual: float

    def __post_init__(self):
        values = dataclasses.astuple(self)
        if min(values) < 0 or not max(values) > 0:
            raise ConfigError(
                "loss coefficients must not be negative and one must be positive, got "
                f"{self}"
            )


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
    ):
        """Combine the models and weights of a pair.

        Args:
          encoder: cut at the block of the decoder, with the weights' preprocessing.
          decoder: its mirror.
          weights: the encoder's parameters and where they come from.
          coefficients: of the loss terms.
          remat: one of `REMAT`: arrays of the forward pass kept for the gradient.
          initialization: of the decoder's kernels; see `initialize_kernels`.
        """
        check_initialization(initialization)
        if remat not in REMAT:
            raise ConfigError(f"remat must be one of {', '.join(REMAT)}, got {remat!r}")
        self.encoder = encoder
        self.decoder = decoder
        self.coefficients = coefficients
        self.remat = remat
        self.initialization = initialization
        self.frozen = {"encoder": jax.tree.map(jnp.asarray, weights.params)}
        self.record = {"vgg19": weights_record(weights)}

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise the decoder and measure its input statistics on the batch."""
        features, switches = self._encode(self.frozen["encoder"], batch["image"])
        params = initialize_kernels(
            self.initialization,
            key,
            self.decoder.init(key, features, switches)["params"],
            self.frozen["encoder"],
        )
        model_state = {}
        if self.decoder.normalize_features:
            rms = measure_feature_rms(features.astype(jnp.float32))
            model_state = {STATISTICS: {"feature_rms": rms}}
        return params, model_state

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
        decode, encode = self._decode, self._encode_features
        if self.remat == "blocks":
            decode, encode = _keep_block_inputs(decode), _keep_block_inputs(encode)
        outputs = decode({"params": params, **model_state}, features, switches)
        coefficients = dataclasses.asdict(self.coefficients)
        compute = {
            "l1": lambda: l1(outputs, images),
            "l2": lambda: l2(outputs, images),
            "ms_ssim": lambda: ms_ssim_loss(outputs, images),
            "perceptual": lambda: perceptual(
                encode(frozen["encoder"], outputs), features
            ),
        }
        terms = {name: compute[name]() for name, c in coefficients.items() if c}
        total = sum(coefficients[name] * term for name, term in terms.items())
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


def weights_record(weights: VGG19Weights) -> dict[str, str]:
    """The facts by which a pair recognises its VGG19 weights."""
    return {
        "origin": weights.origin,
        "sha256": weights.sha256,
        "preprocessing": weights.preprocessing,
    }


def released_record(weights, block: int) -> dict[str, str]:
    """The facts by which a released decoder recognises its VGG19 weights.

    Args:
      weights: with the attributes of `VGG19Weights`.
      block: 1 to 5; files that hold the same layers up to blockX_conv2 are equal.
    """
    digest = arrays_sha256(weights.params, block)
    return {**weights_record(weights), "layers_sha256": digest}


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
        weights = _find_weights(config.encoder)
    encoder, decoder = make_pair_models(config, weights.preprocessing)
    coefficients = LossCoefficients(**config.loss.to_dict())
    return UnpoolingObjective(
        encoder,
        decoder,
        weights,
        coefficients,
        remat=config.get("remat", "none"),
        initialization=config.get("initialization", "he"),
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


def load_recorded_weights(
    section: ml_collections.ConfigDict,
    recorded: Mapping[str, str],
    path: str | os.PathLike | None = None,
) -> VGG19Weights:
    """Find the weights that a run was trained with.

    Args:
      section: the section "encoder" of the run's config.
      recorded: what `weights_record` gave when the run began.
      path: a weight file; None is the file of the config if it is still there, else
        the order of `load_vgg19_weights`. Random weights are drawn again.
    """
    facts = recorded if isinstance(recorded, Mapping) else {}
    texts = [facts.get(fact) for fact in _FACTS]
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise WeightsMismatchError(
            "the record in the run's checkpoint does not say which VGG19 weights the "
            "pair was trained with: it is damaged"
        )
    named = section.weights
    if path is None and named not in ("", RANDOM_ORIGIN):
        path = named if to_path(named).expanduser().exists() else None
    if path is None and recorded["origin"].startswith(RANDOM_ORIGIN):
        weights = random_vgg19_weights(section.random_seed, block=section.block)
    else:
        weights = load_vgg19_weights(path, block=section.block)
    facts = weights_record(weights)
    if any(facts[fact] != recorded[fact] for fact in ("sha256", "preprocessing")):
        raise WeightsMismatchError(
            f"this pair was trained with the VGG19 weights {_describe(recorded)}, not "
            f"with {_describe(facts)}: name the right file"
        )
    return weights


def load_released_weights(
    release: Mapping[str, Any], path: str | os.PathLike | None = None
) -> VGG19Weights:
    """Find weights that equal those of a released decoder as far as it uses them.

    Args:
      release: metadata of the decoder, see `releases.file`.
      path: a weight file; None is the order of `load_vgg19_weights`.
    """
    block, recorded = release["config"]["encoder"]["block"], release["pretrained"]
    texts = [recorded.get(fact) for fact in (*_FACTS, "layers_sha256")]
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise WeightsMismatchError(
            "the metadata of the release do not say which VGG19 weights the decoder "
            "was trained with: they are damaged"
        )
    preprocessing = recorded["preprocessing"]
    if path is None and recorded["origin"].startswith(RANDOM_ORIGIN):
        seed = release["config"]["encoder"].get("random_seed", 0)
        weights = random_vgg19_weights(seed, block=block, preprocessing=preprocessing)
    else:
        # What to download where no file is named.
        flavour = "torchvision" if preprocessing == "torchvision" else "keras"
        weights = load_vgg19_weights(path, block=block, flavour=flavour)
    wanted = recorded["layers_sha256"], preprocessing
    found = arrays_sha256(weights.params, block), weights.preprocessing
    if found != wanted:
        named = "{} (SHA-256 up to {} {:.12}…, {} preprocessing)".format
        layer = f"block{block}_conv2"
        raise WeightsMismatchError(
            "this decoder was trained with the VGG19 weights "
            f"{named(recorded['origin'], layer, *wanted)}, not with "
            f"{named(weights.origin, layer, *found)}: name the right file"
        )
    return weights


def _describe(facts: Mapping[str, str]) -> str:
    return (
        f"{facts['origin']} (SHA-256 {facts['sha256'][:12]}…, "
        f"{facts['preprocessing']} preprocessing)"
    )


def _find_weights(section: ml_collections.ConfigDict) -> VGG19Weights:
    if section.weights == RANDOM_ORIGIN:
        return random_vgg19_weights(section.random_seed, block=section.block)
    try:
        return load_vgg19_weights(section.weights or None, block=section.block)
    except WeightsUnavailableError as error:
        if not section.random_if_unavailable:
            raise
        _LOG.warning(
            "using RANDOM encoder weights, so results say nothing about VGG19: %s",
            error,
        )
        return random_vgg19_weights(section.random_seed, block=section.block)
