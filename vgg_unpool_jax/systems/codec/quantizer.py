"""Rounding of latents, as training needs it."""

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
