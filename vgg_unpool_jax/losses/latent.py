"""Terms of a variational autoencoder's loss, in nats.

Posteriors are diagonal Gaussians q(z|x), given by `means` and `log_variances` of shape
(n, latent_size); the prior is N(0, I).
"""

import math

import jax
import jax.numpy as jnp


def kl_to_standard_normal(means: jax.Array, log_variances: jax.Array) -> jax.Array:
    """KL divergence of q(z|x) from N(0, I), separately for every dimension.

    Args:
      means: (n, latent_size).
      log_variances: (n, latent_size).

    Returns:
      (n, latent_size) in nats, at least 0; the sum over dimensions is the KL of a
      photo.

    Source:
      Kingma and Welling, "Auto-encoding variational Bayes", 2014, appendix B.
    """
    if means.ndim != 2 or means.shape != log_variances.shape:
        raise ValueError(
            "means and log_variances must have one shape (n, latent_size), got "
            f"{means.shape} and {log_variances.shape}"
        )
    # expm1(v) - v instead of exp(v) - 1 - v, which cancels near the prior.
    return 0.5 * (jnp.expm1(log_variances) - log_variances + jnp.square(means))


def half_squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Half the sum of squared differences of each photo.

    Args:
      predictions: (n, ...).
      targets: the same shape.

    Returns:
      (n,), in squared units of the arguments.
    """
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions has shape {predictions.shape} and targets has shape "
            f"{targets.shape}; expected equal shapes"
        )
    axes = tuple(range(1, predictions.ndim))
    return 0.5 * jnp.sum(jnp.square(predictions - targets), axis=axes)


def gaussian_log_likelihood(
    half_squared_errors: jax.Array, log_std: jax.Array, num_values: int
) -> jax.Array:
    """Logarithm of N(x; x', std²) of photos, from `half_squared_error`.

    Args:
      half_squared_errors: (n,), in squared units of x.
      log_std: scalar, natural logarithm of the standard deviation of every value.
      num_values: number of values of a photo, height · width · channels.

    Returns:
      (n,) in nats; a density, so it may be positive.
    """
    log_std = jnp.asarray(log_std, jnp.float32)
    constant = -num_values * (log_std + 0.5 * math.log(2 * math.pi))
    return constant - half_squared_errors * jnp.exp(-2 * log_std)


def with_free_bits(kl: jax.Array, free_bits: float) -> jax.Array:
    """KL of a batch with a lower bound for each dimension.

    A dimension whose KL, averaged over the batch, is below the bound costs the bound
    and has no gradient, so that it may carry information without cost.

    Args:
      kl: (n, latent_size) in nats.
      free_bits: the lower bound of a dimension in nats; 0 for none.

    Returns:
      Scalar in nats, at least latent_size · free_bits.

    Source:
      Kingma et al., "Improved variational inference with inverse autoregressive flow",
      2016, section "free bits".
    """
    return jnp.sum(jnp.maximum(jnp.mean(kl, axis=0), free_bits))
