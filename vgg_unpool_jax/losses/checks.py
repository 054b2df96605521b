"""The argument checks that all losses and metrics share."""

import jax
import jax.numpy as jnp

from vgg_unpool_jax.ops.placing import on_device


def require_matching(
    predictions: jax.Array,
    targets: jax.Array,
    names: tuple[str, str] = ("predictions", "targets"),
) -> tuple[jax.Array, jax.Array]:
    """Both arguments as float32, after a check of their shapes.

    Shapes are static under `jax.jit`, so the checks cost nothing at run time. Lower
    precisions are converted because a mean over a million bfloat16 differences has only
    two correct digits.

    Args:
      predictions: `(n, height, width, channels)`, any real dtype.
      targets: the same shape as `predictions`.
      names: of the two arguments, for the error message.

    Returns:
      The two arrays in float32.
    """
    predictions, targets = on_device(predictions), on_device(targets)
    for name, array in zip(names, (predictions, targets), strict=True):
        if array.ndim != 4:
            raise ValueError(
                f"{name} has shape {array.shape}; expected rank 4, "
                "(n, height, width, channels)."
            )
        if array.size == 0:
            raise ValueError(
                f"{name} has shape {array.shape}; expected no empty dimension, the "
                "mean over nothing is undefined."
            )
    if predictions.shape != targets.shape:
        raise ValueError(
            f"{names[0]} has shape {predictions.shape} and {names[1]} has shape "
            f"{targets.shape}; expected equal shapes, losses do not broadcast."
        )
    return predictions.astype(jnp.float32), targets.astype(jnp.float32)
