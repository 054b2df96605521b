"""Random changes to training batches, on the device."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp


def make_augmentation(*, flip: bool) -> Callable:
    """Build the function that augments a batch; it can be jitted and pmapped.

    Args:
      flip: mirror each photo left to right with probability 1/2.

    Returns:
      A function `(keys, arrays) -> arrays` with one key (n,) per photo. All images (n,
      h, w, c) of a photo are changed in the same way; other arrays stay as they are.
      The same key gives the same draw.
    """
    # Imported here because reader processes import this package, too, and never
    # augment.
    import dm_pix

    def augment(keys: jax.Array, arrays: Mapping[str, jax.Array]):
        if not flip:
            return dict(arrays)
        # Of a float32 probability the draws are the same in 64-bit mode.
        half = jnp.float32(0.5)
        mirror = jax.vmap(
            lambda key, image: dm_pix.random_flip_left_right(
                key, image, probability=half
            )
        )
        return {
            name: mirror(keys, array) if array.ndim == 4 else array
            for name, array in arrays.items()
        }

    return augment
