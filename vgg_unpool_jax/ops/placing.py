"""NumPy arrays as arrays of the device, without a program for each shape."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, DTypeLike


def on_device(array: ArrayLike, dtype: DTypeLike = None) -> jax.Array:
    """An array of the default device, of `dtype` if one is named.

    `jnp.asarray` of a NumPy array compiles a program for each shape and type that it
    has not met (jax 0.10.2), and one more to convert. Arrays of jax and traced ones are
    returned as they are. The memory of others is copied: `jax.device_put` alone shares
    it on CPUs, so that whoever writes into the NumPy array afterwards changes the array
    of jax.
    """
    if isinstance(array, jax.Array):
        return array if dtype is None else jnp.asarray(array, dtype)
    return jax.device_put(np.array(array, dtype))


def tree_on_device(tree: Any) -> Any:
    """A tree with each leaf `on_device`: parameters that were read from a file."""
    return jax.tree.map(on_device, tree)
