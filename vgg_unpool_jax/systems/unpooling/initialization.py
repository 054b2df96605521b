"""Initial kernels of an unpooling decoder.

Every method gives kernels He's scale, with which a ReLU layer preserves the mean square
of its input.
"""

import logging
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.saved import read_saved

_LOG = logging.getLogger(__name__)

INITIALIZATIONS = ("he", "orthogonal", "encoder")


def check_initialization(name: str) -> None:
    """Raise `ConfigError` unless `name` is one of `INITIALIZATIONS`."""
    if name not in INITIALIZATIONS:
        raise ConfigError(
            f"initialization must be one of {', '.join(INITIALIZATIONS)}, got {name!r}"
        )


def initialize_kernels(
    name: str, key: jax.Array, params: Mapping, encoder_params: Mapping
) -> dict:
    """Replace the 3×3 kernels of a new decoder.

    Args:
      name: "he" keeps the decoder's normally distributed kernels; "orthogonal" draws
        orthogonal filters; "encoder" takes the scaled transpose of the encoder's kernel
        of the same layer.
      key: for "orthogonal".
      params: layer name -> {"kernel": (3, 3, i, o), "bias": (o,)} of the decoder.
      encoder_params: of the encoder, whose kernel of the same name is (3, 3, o, i).

    Returns:
      Parameters like `params`. Layers that the encoder does not have are unchanged.
    """
    check_initialization(name)
    replaced = dict(params)
    if name == "he":
        return replaced
    for number, layer in enumerate(sorted(params.keys() & encoder_params.keys())):
        kernel = params[layer]["kernel"]
        if name == "orthogonal":
            orthogonal = nn.initializers.orthogonal()
            layer_key = jax.random.fold_in(key, number)
            new = _scaled_like_he(orthogonal(layer_key, kernel.shape))
        else:
            mirrored = jnp.asarray(encoder_params[layer]["kernel"])[::-1, ::-1]
            new = _scaled_like_he(mirrored.swapaxes(2, 3))
        replaced[layer] = {**params[layer], "kernel": new}
    return replaced


def _scaled_like_he(kernel: jax.Array) -> jax.Array:
    mean_square = jnp.mean(jnp.square(kernel))
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    return kernel * jnp.sqrt(2.0 / fan_in / mean_square)


def share_layers(config: ml_collections.ConfigDict, params: Mapping) -> dict:
    """Replace layers by those of `config.initialize_shared_from` with equal shapes.

    Args:
      config: of the run; `initialize_shared_from` is a workdir or a released decoder.
      params: of a new decoder.
    """
    origin = config.initialize_shared_from
    other = read_saved(origin, config.system)
    scale = other.config.decoder.get("output_scale", 1.0)
    saved = other.variables["params"]
    # The last layer, which all decoders share, was trained for this scale.
    if scale != config.decoder.output_scale:
        raise ConfigError(
            f"initialize_shared_from: the decoder of {origin} has decoder.output_scale "
            f"{scale}, and this config has {config.decoder.output_scale}"
        )
    shared = {
        name: layer
        for name, layer in saved.items()
        if name in params and _shapes(layer) == _shapes(params[name])
    }
    if not shared:
        raise ConfigError(
            f"initialize_shared_from: the decoder of {origin} has no layer in common "
            "with this model"
        )
    _LOG.info("%s: as in the decoder of %s", ", ".join(sorted(shared)), origin)
    return {**params, **shared}


def _shapes(tree):
    return jax.tree.map(lambda array: array.shape, tree)
