"""Random changes to training batches, on the device.

Images are float32 of shape (n, S, S, 3), RGB in [0, 255].
"""

from collections.abc import Callable

import jax


def make_augmentation(*, flip: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Build the function that augments a batch; it can be jitted and pmapped.

    Args:
      flip: mirror each image left to right with probability 1/2.

    Returns:
      A function `(keys, images) -> images` of the same shape and dtype, with a key
      (n,) for each image; the same key gives the same draw. It raises `ValueError`
      where `images` has no shape (n, H, W, C).
    """
    # Imported here because reader processes import this package, too, and never
    # augment.
    import dm_pix

    def augment(keys: jax.Array, images: jax.Array) -> jax.Array:
        if images.ndim != 4:
            raise ValueError(f"images must have shape (n, H, W, C), got {images.shape}")
        if not flip:
            return images
        return jax.vmap(dm_pix.random_flip_left_right)(keys, images)

    return augment
