"""Dropout whose draws depend on the photo alone."""

import zlib

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dropout(nn.Module):
    """Drops single values; the draws of a photo depend on its own key alone."""

    rate: float

    @nn.compact
    def __call__(self, inputs: jax.Array, keys: jax.Array | None) -> jax.Array:
        """(n, ...) to the same; unchanged without keys (n,), in evaluation."""
        if keys is None or not self.rate:
            return inputs
        layer = zlib.crc32("/".join(self.path).encode())

        def keep(key):
            # Of a float32 probability the draws are the same in 64-bit mode.
            share = jnp.float32(1 - self.rate)
            return jax.random.bernoulli(
                jax.random.fold_in(key, layer), share, inputs.shape[1:]
            )

        kept = jax.vmap(keep)(keys)
        return jnp.where(kept, inputs / (1 - self.rate), jnp.zeros_like(inputs))
