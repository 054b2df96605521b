"""Improve the latents of one photo by gradient steps, before they are coded.

The file format and the decoder stay the same: the encoder looks for integers that cost
less or decode better than those that the analysis found for photos in general.

Source: Campos et al. 2019, "Content adaptive optimization for neural image
compression".
"""

import jax
import jax.numpy as jnp
import optax

from vgg_unpool_jax.systems.codec.entropy import (
    logistic_bits,
    mixture_bits,
    scale_of,
)
from vgg_unpool_jax.systems.codec.model import HYPER_STRIDE, STRIDE, Codec
from vgg_unpool_jax.systems.codec.quantizer import round_straight_through

# Of Adam at the first step, in quantisation steps; it falls to 0 linearly.
_LEARNING_RATE = 0.03


def refine(
    model: Codec,
    variables,
    pixels: jax.Array,
    scaled: jax.Array,
    quality: jax.Array,
    strength: jax.Array,
    steps: int,
) -> jax.Array:
    """Latents with a smaller rate + λ squared error after rounding.

    Args:
      model: the module.
      variables: its variables.
      pixels: (8 h, 8 w, 3) RGB in [0, 255].
      scaled: (h, w, channels), not rounded.
      quality: from 0.
      strength: λ of the quality.
      steps: number of gradient steps.

    Returns:
      (h, w, channels), of the best step; `scaled` itself if there was no better one.
    """
    height, width = scaled.shape[:2]
    ratio = HYPER_STRIDE // STRIDE
    border = [(0, 0), (0, -height % ratio), (0, -width % ratio), (0, 0)]
    quality = jnp.asarray(quality, jnp.int32)[None]

    def cost(latents: jax.Array) -> jax.Array:
        padded = jnp.pad(latents[None], border)
        hyper = model.apply(variables, padded, method="encode_hyper")
        hyper = round_straight_through(hyper)
        integers = round_straight_through(padded)
        means, indices = model.apply(
            variables, hyper, integers, quality, method="predict"
        )
        inside = (slice(None), slice(height), slice(width))
        bits = logistic_bits(integers, means, scale_of(indices))[inside].sum()
        density = model.apply(variables, quality, method="hyper_density")
        bits += mixture_bits(hyper, *density).sum()
        integers = round_straight_through(latents[None])
        decoded = model.apply(variables, integers, quality, method="decode")[0]
        error = jnp.mean(jnp.square(decoded - pixels))
        return bits / (pixels.shape[0] * pixels.shape[1]) + strength * error

    optimizer = optax.adam(optax.linear_schedule(_LEARNING_RATE, 0.0, steps))

    def step(carry, _):
        latents, state, best, least = carry
        value, gradient = jax.value_and_grad(cost)(latents)
        better = value < least
        best = jnp.where(better, latents, best)
        updates, state = optimizer.update(gradient, state)
        carry = latents + updates, state, best, jnp.where(better, value, least)
        return carry, None

    start = scaled, optimizer.init(scaled), scaled, jnp.float32(jnp.inf)
    (_, _, best, _), _ = jax.lax.scan(step, start, None, length=steps)
    return best
