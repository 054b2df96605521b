"""A photo through a pair, and what its switches carry."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.editing.photos import (
    decode_photo_features,
    encode_photo,
    match_size,
)
from vgg_unpool_jax.applications.studio.jobs import Job
from vgg_unpool_jax.applications.studio.measures import Measures, measure
from vgg_unpool_jax.evaluation.pictures import error_image
from vgg_unpool_jax.systems.unpooling.pair import Pair


class Picture(NamedTuple):
    """A picture and how near it is to the photo.

    Attributes:
      image: float32 (h, w, 3) in [0, 255].
      measures: against the photo.
    """

    image: np.ndarray
    measures: Measures


def rebuild(pair: Pair, photo: np.ndarray, job: Job) -> Picture:
    """Encode and decode a photo of any size, in tiles."""
    job.say(0.0, "rebuilding")
    image = pair.reconstruct_photo(photo, progress=job.follow)
    job.say(0.9, "measuring")
    return Picture(image, measure(image, photo))


def error_of(picture: Picture, photo: np.ndarray) -> np.ndarray:
    """The absolute error eight times, float32 (h, w, 3)."""
    return error_image(picture.image, photo, Pair.error_gain)


def switch_pictures(
    pair: Pair, photo: np.ndarray, other: np.ndarray | None, job: Job
) -> dict[str, Picture]:
    """The photo's features, unpooled with three kinds of switches.

    Args:
      pair: of block 2 or more has switches; of block 1 the result is empty.
      photo: (h, w, 3) in [0, 255], processed whole.
      other: a photo that lends its switches, cut and resized to the first; or None.
      job: the work.

    Returns:
      "none": every value goes to the first pixel of its window; "other": to where the
      other photo has its maxima.
    """
    if pair.block == 1:
        return {}
    size, found = photo.shape[:2], {}
    job.say(0.0, "without switches")
    features, switches = encode_photo(pair, photo)
    lent = {"none": tuple(jnp.zeros_like(codes) for codes in switches)}
    if other is not None:
        lent["other"] = encode_photo(pair, match_size(other, size))[1]
    for number, (name, codes) in enumerate(lent.items()):
        job.say((number + 1) / (len(lent) + 1), f"with the switches of {name}")
        image = decode_photo_features(pair, features, codes, size)
        found[name] = Picture(image, measure(image, photo))
    return found
