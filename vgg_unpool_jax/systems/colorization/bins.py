"""Colours as distributions over bins of a and b.

A network that predicts mean colours answers with grey where several colours are
possible. A distribution over bins, with rare colours weighted up, does not.

Source: Zhang, Isola and Efros, "Colorful Image Colorization", ECCV 2016: bins of 10,
five neighbours with a Gaussian of 5, half of the weight uniform, annealed mean at 0.38.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.ops.lab import rgb_to_lab

STEP = 10
# Accelerators round to 8 to 11 bits otherwise, and other bins are the nearest.
_exact = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
_NEIGHBOURS, _SPREAD, _UNIFORM = 5, 5.0, 0.5


@functools.cache
def bin_centers() -> np.ndarray:
    """float32 (k, 2), a and b of the bins that hold a colour of sRGB."""
    values = np.arange(0, 256, 5, dtype=np.float32)
    rgb = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3)
    with jax.ensure_compile_time_eval():  # also while a network is traced
        ab = np.asarray(rgb_to_lab(rgb))[:, 1:]
    cells = np.unique(np.round(ab / STEP).astype(int), axis=0)
    return (STEP * cells).astype(np.float32)


def encode(ab: jax.Array) -> jax.Array:
    """Colours (..., 2) to distributions (..., k) over the nearest bins."""
    centers = jnp.asarray(bin_centers())
    squares = (
        jnp.sum(jnp.square(ab), axis=-1, keepdims=True)
        - 2 * _exact(ab, centers.T)
        + jnp.sum(jnp.square(centers), axis=-1)
    )
    nearest, places = jax.lax.top_k(-squares, _NEIGHBOURS)
    weights = jax.nn.softmax(nearest / (2 * _SPREAD**2), axis=-1)
    one_hot = jax.nn.one_hot(places, len(centers), dtype=weights.dtype)
    return jnp.sum(weights[..., None] * one_hot, axis=-2)


def decode(
    logits: jax.Array,
    temperature: float,
    weights: jax.Array | None = None,
    unweight: float = 0.0,
) -> jax.Array:
    """The annealed mean (..., 2) of distributions (..., k).

    Args:
      logits: (..., k), learned with weighted bins.
      temperature: in (0, 1]; 1 is the mean.
      weights: (k,), those of the bins.
      unweight: 0 reads what was learned, with rare colours as likely as the weights
        make them; 1 reads colours as likely as in photos; or between.
    """
    if unweight:
        logits = logits - unweight * jnp.log(weights)
    shares = jax.nn.softmax(logits / temperature, axis=-1)
    return _exact(shares, jnp.asarray(bin_centers()))


def rebalancing_weights(shares: np.ndarray) -> np.ndarray:
    """Weights (k,) of the bins, with a mean of 1 over photos.

    Args:
      shares: (k,), how often bins occur; they add up to 1.
    """
    shares = np.asarray(shares, np.float64)
    weights = 1 / ((1 - _UNIFORM) * shares + _UNIFORM / len(shares))
    return (weights / np.sum(shares * weights)).astype(np.float32)
