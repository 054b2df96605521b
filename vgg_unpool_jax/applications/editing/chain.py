"""Repeated reconstruction: the output of a pair fed back into it."""

from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.applications.editing.photos import l1
from vgg_unpool_jax.applications.resizing import as_photo
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.unpooling.pair import Pair


class Chain(NamedTuple):
    """A photo that was encoded and decoded repeatedly.

    Attributes:
      images: (times + 1, h, w, 3), of which the first is the photo.
      from_photo: (times + 1,) mean absolute differences to the photo.
      from_previous: (times + 1,) to the picture before; the first is 0.
    """

    images: np.ndarray
    from_photo: np.ndarray
    from_previous: np.ndarray


def reencode(pair: Pair, photo, times: int) -> Chain:
    """Feed a reconstruction back into its pair several times.

    Pictures are clipped to [0, 255] between the rounds, but not rounded.

    Args:
      pair: a trained pair.
      photo: (h, w, 3).
      times: number of rounds; 0 gives the photo alone.

    Returns:
      The pictures and how far they are from the photo and from each other.

    Source: Dosovitskiy & Brox 2016, arXiv 1602.02644, where up to eight rounds show
    which properties of a photo the features keep.
    """
    if times < 0:
        raise ConfigError(f"times must be at least 0, got {times}")
    images = [as_photo(photo)]
    for _ in range(times):
        images.append(np.asarray(pair.reconstruct(images[-1][None]))[0])
    steps = [l1(b, a) for a, b in zip(images[:1] + images, images, strict=False)]
    return Chain(
        np.stack(images),
        np.array([l1(image, images[0]) for image in images], np.float32),
        np.array(steps, np.float32),
    )
