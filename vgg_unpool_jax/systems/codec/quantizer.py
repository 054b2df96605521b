"""Quantisers of latents: rounding with gradients for training, and bits per channel."""

import jax
import jax.numpy as jnp


def round_straight_through(values: jax.Array) -> jax.Array:
    """Round to integers; the gradient is that of the identity."""
    return values + jax.lax.stop_gradient(jnp.round(values) - values)


def add_noise(values: jax.Array, keys: jax.Array) -> jax.Array:
    """Add uniform noise in [-1/2, 1/2), the usual stand-in for rounding in rates.

    Args:
      values: (n, ...).
      keys: (n,), a random key for each photo.
    """
    shape = values.shape[1:]
    draw = jax.vmap(lambda key: jax.random.uniform(key, shape, values.dtype))
    return values + (draw(keys) - 0.5)


def quantize_channels(
    latents: jax.Array, bits: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Quantise each channel of each photo uniformly between its extremes.

    Args:
      latents: (n, h, w, c).
      bits: number of bits of a value, 1 to 16.

    Returns:
      codes: int32 (n, h, w, c) in [0, 2^bits - 1], halves rounded to even; 0 in
        constant channels.
      low: (n, 1, 1, c), the smallest value of each channel.
      high: (n, 1, 1, c), the largest.

    Source: facecompressor, the quantiser of its compressive autoencoder.
    """
    if not 1 <= bits <= 16:
        raise ValueError(f"bits must be 1 to 16, got {bits}")
    low = jnp.min(latents, axis=(1, 2), keepdims=True)
    high = jnp.max(latents, axis=(1, 2), keepdims=True)
    span = high - low
    scaled = (latents - low) / jnp.where(span > 0, span, 1.0)
    codes = jnp.round(scaled * (2**bits - 1)).astype(jnp.int32)
    return codes, low, high


def dequantize_channels(
    codes: jax.Array, low: jax.Array, high: jax.Array, bits: int
) -> jax.Array:
    """The values that codes of `quantize_channels` stand for, float32."""
    return codes.astype(jnp.float32) / (2**bits - 1) * (high - low) + low
