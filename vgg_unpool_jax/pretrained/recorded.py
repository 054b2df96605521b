"""Which VGG19 weights a model was trained with, and finding them again."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from vgg_unpool_jax.errors import WeightsMismatchError, WeightsUnavailableError
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.nets.vgg19_layers import Convolution, convolutions_up_to
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.vgg19 import (
    VGG19Weights,
    arrays_sha256,
    random_vgg19_weights,
)

# Name of random weights in a config, with which their origin begins, too.
RANDOM_ORIGIN = "random"
_FACTS = ("origin", "sha256", "preprocessing")
# Releases that need blocks 4 and 5 saw a copy of Keras' file in which the kernels of
# these blocks had been rounded to 8 bits; the public file will do. Digest of the
# copy's layers -> that of their biases, which are those of the public file and tell its
# network from all others.
ROUNDED = {
    "943183b738f00a8b8a71a8915b078e5af047f1790dcd48dedfecd566c7d6e8fe": (
        "0c3ed3279c2067e5b7d71bd91ae6d59d1778fec06339906cd4c8016316a3da8f"
    ),
    "2e865c396ea6c969db9de56d68fd28ef6355563aad44b9e36761e5b1cd3bb8dd": (
        "ba1b01f2f79a13e502ec1e61e8db9f73b5f83bbc2bc6d1c002535df7edcb7958"
    ),
}

_LOG = logging.getLogger(__name__)


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
        path = named if to_path(named).exists() else None
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

    Weights that differ from these by a rounding of the kernels alone are taken with a
    warning, where that is known of the release (blocks 4 and 5 of the package).

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
    digest, layers = recorded["layers_sha256"], convolutions_up_to(block)
    fits = weights.preprocessing == preprocessing
    if not (fits and has_layers(weights, digest, layers)):
        wanted = digest, preprocessing
        found = arrays_sha256(weights.params, block), weights.preprocessing
        named = "{} (SHA-256 up to {} {:.12}…, {} preprocessing)".format
        layer = f"block{block}_conv2"
        raise WeightsMismatchError(
            "this decoder was trained with the VGG19 weights "
            f"{named(recorded['origin'], layer, *wanted)}, not with "
            f"{named(weights.origin, layer, *found)}: name the right file"
        )
    return weights


def has_layers(weights, layers_sha256: str, layers: Sequence[Convolution]) -> bool:
    """Whether layers are those of a digest, but for a rounding that is known of it.

    Args:
      weights: with the attributes of `VGG19Weights`.
      layers_sha256: of the layers that a release was trained with.
      layers: which they are.
    """
    if arrays_sha256(weights.params, layers=layers) == layers_sha256:
        return True
    biases = arrays_sha256(weights.params, layers=layers, kinds=("bias",))
    if ROUNDED.get(layers_sha256) != biases:
        return False
    _LOG.warning(
        "%s: its kernels are not quite those that this model was trained with, a copy "
        "that had been rounded to 8 bits; docs/training_notes.md has the effect of "
        "such a rounding",
        weights.origin,
    )
    return True


def _describe(facts: Mapping[str, str]) -> str:
    return (
        f"{facts['origin']} (SHA-256 {facts['sha256'][:12]}…, "
        f"{facts['preprocessing']} preprocessing)"
    )


def find_weights(section: ml_collections.ConfigDict) -> VGG19Weights:
    """The weights that the section "encoder" of a new run's config names."""
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
