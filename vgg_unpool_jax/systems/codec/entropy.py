"""Probabilities of integers: what rates are in training, and tables for coding.

An integer v with mean m and scale s has the probability that the logistic distribution
gives to [v - 1/2, v + 1/2]. Scales are on a grid, see `SCALES`, so that a table of
integers can be stored for each of them, and for each sixteenth between two means.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Scales of the conditional distributions: 64 from 0.04 to 80, equal ratios.
NUM_SCALES = 64
_SMALLEST, _LARGEST = 0.04, 80.0
_LOG_STEP = float(np.log(_LARGEST / _SMALLEST)) / (NUM_SCALES - 1)
SCALES = _SMALLEST * np.exp(_LOG_STEP * np.arange(NUM_SCALES))


def scale_of(index: jax.Array) -> jax.Array:
    """The scale of a real-valued index, which is clipped to the grid.

    The gradient passes the limits towards the grid, so that no scale stays outside.
    """
    inside = jnp.clip(index, 0.0, NUM_SCALES - 1.0)
    index = inside + 0.01 * (index - jax.lax.stop_gradient(index))
    return jnp.float32(_SMALLEST) * jnp.exp(jnp.float32(_LOG_STEP) * index)


def logistic_bits(values: jax.Array, means: jax.Array, scales: jax.Array) -> jax.Array:
    """Bits of values under discretised logistic distributions.

    Args:
      values: integers, or integers with uniform noise.
      means: of the distributions, any shape that broadcasts.
      scales: positive.

    Returns:
      -log2 of the probability of [v - 1/2, v + 1/2], of the broadcast shape.
    """
    return -_log_probability(values, means, scales) / jnp.log(2.0)


def mixture_bits(
    values: jax.Array, logits: jax.Array, means: jax.Array, log_scales: jax.Array
) -> jax.Array:
    """Bits of values under mixtures of discretised logistic distributions.

    Args:
      values: (...,).
      logits: (..., k), of the weights of the components.
      means: (..., k).
      log_scales: (..., k), natural logarithms.
    """
    log_weights = jax.nn.log_softmax(logits, axis=-1)
    each = _log_probability(values[..., None], means, jnp.exp(log_scales))
    return -jax.nn.logsumexp(log_weights + each, axis=-1) / jnp.log(2.0)


def _log_probability(values, means, scales):
    # With a > b: sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)),
    # which is exact in the tails too.
    distance = jnp.abs(values - means)
    upper, lower = (0.5 - distance) / scales, (-0.5 - distance) / scales
    log_width = jnp.log(-jnp.expm1(-1.0 / scales))
    return jax.nn.log_sigmoid(upper) + jax.nn.log_sigmoid(-lower) + log_width
