"""What the kernels of an unpooling decoder are before the first step.

Every way gives a kernel the scale of He's: a ReLU layer then keeps the mean square of
what goes through it.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.errors import ConfigError

INITIALIZATIONS = ("he", "orthogonal", "encoder")


def check_initialization(name: str) -> None:
    """Raise `ConfigError` for another name than those of `INITIALIZATIONS`."""
    if name not in INITIALIZATIONS:
        raise ConfigError(
            f"initialization must be one of {', '.join(INITIALIZATIONS)}, got {name!r}"
        )


def initialize_kernels(
    name: str, key: jax.Array, params: Mapping, encoder_params: Mapping
) -> dict:
    """Replace the 3×3 kernels of a fresh decoder.

    Args:
      name: "he" keeps those that the decoder has, normal numbers; "orthogonal" draws
        filters at right angles to each other; "encoder" takes the kernel of the
        encoder's layer of the same name, turned around: its transpose, scaled.
      key: for "orthogonal".
      params: layer name -> {"kernel": (3, 3, i, o), "bias": (o,)} of the decoder.
      encoder_params: of the encoder, whose kernel of the same name is (3, 3, o, i).

    Returns:
      Parameters like `params`. Layers that the encoder does not have stay as they are.

    Raises:
      ConfigError: for another name.
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
