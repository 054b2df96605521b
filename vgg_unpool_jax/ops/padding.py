"""Padding photos of any size to a size that an encoder accepts."""

import jax
import jax.numpy as jnp


def pad_to_multiple(images: jax.Array, multiple: int) -> jax.Array:
    """Pad height and width up to a multiple by reflection at the bottom and right.

    Args:
      images: (n, h, w, c).
      multiple: positive; a side that already is a multiple stays as it is.

    Returns:
      (n, ceil(h / multiple) · multiple, ceil(w / multiple) · multiple, c). Crop with
      `[:, :h, :w]`. A side of one pixel is repeated.
    """
    pads = [(-side) % multiple for side in images.shape[1:3]]
    for axis, amount in enumerate(pads, start=1):
        widths = [(0, 0)] * 4
        widths[axis] = (0, amount)
        mode = "reflect" if images.shape[axis] > 1 else "edge"
        images = jnp.pad(images, widths, mode=mode)
    return images
