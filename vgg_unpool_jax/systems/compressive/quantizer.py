"""The quantiser of the compressive autoencoder: equal steps in each channel's range.

The 2^b levels of b bits divide the range of the values of a channel of one photo, whose
ends are kept with the integers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from vgg_unpool_jax.errors import ConfigError

# Gradients that a quantiser passes on: none as published, that of the identity, or that
# of uniform noise in place of the rounding.
GRADIENTS = ("none", "identity", "noise")
MAX_BITS = 8


class Quantized(NamedTuple):
    """Integers, and the range that they divide.

    Attributes:
      integers: int32 (n, h, w, c), 0 to 2^bits - 1.
      low: (n, 1, 1, c), smallest values.
      high: (n, 1, 1, c), largest values.
    """

    integers: jax.Array
    low: jax.Array
    high: jax.Array


def quantize(latents: jax.Array, bits: int) -> Quantized:
    """Round (n, h, w, c) to 2^bits levels between the ends of each channel.

    Ties are rounded to even integers. The integers of a constant channel are 0.
    """
    low, high, scale = _range(latents, bits)
    return Quantized(jnp.round((latents - low) * scale).astype(jnp.int32), low, high)


def dequantize(quantized: Quantized, bits: int) -> jax.Array:
    """The values of the levels, (n, h, w, c)."""
    integers, low, high = quantized
    levels = jnp.float32(2**bits - 1)
    return integers.astype(jnp.float32) / levels * (high - low) + low


def pass_through(
    latents: jax.Array, bits: int, gradient: str, keys: jax.Array | None = None
) -> jax.Array:
    """Latents as they are after quantisation, with a gradient for training.

    Args:
      latents: (n, h, w, c).
      bits: of each integer; 0 leaves the latents as they are.
      gradient: one of `GRADIENTS`.
      keys: (n,), a random key for each photo; without them nothing is random.
    """
    if gradient not in GRADIENTS:
        raise ConfigError(
            f"quantizer.gradient must be one of {', '.join(GRADIENTS)}, got "
            f"{gradient!r}"
        )
    if not bits:
        return latents
    if gradient == "noise" and keys is not None:
        _, _, scale = jax.lax.stop_gradient(_range(latents, bits))
        draw = jax.vmap(lambda key: jax.random.uniform(key, latents.shape[1:]))
        noise = jnp.where(scale > 0, (draw(keys) - 0.5) / scale, 0.0)
        return latents + noise
    rounded = jax.lax.stop_gradient(dequantize(quantize(latents, bits), bits))
    if gradient == "none":
        return rounded
    return latents + (rounded - jax.lax.stop_gradient(latents))


def _range(latents, bits):
    low = jnp.min(latents, axis=(1, 2), keepdims=True)
    high = jnp.max(latents, axis=(1, 2), keepdims=True)
    width = high - low
    levels = jnp.float32(2**bits - 1)
    scale = jnp.where(width > 0, levels / jnp.where(width > 0, width, 1.0), 0.0)
    return low, high, scale
