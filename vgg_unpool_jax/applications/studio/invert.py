"""A photo from the features of one layer after the other."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vgg_unpool_jax.applications.studio.jobs import Job
from vgg_unpool_jax.applications.studio.measures import measure
from vgg_unpool_jax.systems.unpooling.pair import Pair


def without_switches(
    inverters: Mapping[str, Any], photo: np.ndarray, job: Job
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Inverters of layers, by their titles.

    Args:
      inverters: see `load_inverter`.
      photo: uint8 (h, w, 3); each takes its crop.
      job: the work.

    Returns:
      The crop, and the image made of its features: (side, side, 3) each.
    """
    found = {}
    for title in job.parts(list(inverters), lambda n: list(inverters)[n]):
        inverter = inverters[title]
        crop = inverter.prepare(photo)
        found[title] = crop, np.asarray(inverter.reconstruct(crop[None]))[0]
    return found


def with_switches(
    pairs: Mapping[int, Pair], photo: np.ndarray, job: Job
) -> dict[str, np.ndarray]:
    """Reconstructions of pairs by their captions."""
    found = {}
    for block in job.parts(list(pairs), lambda n: f"block {list(pairs)[n]}"):
        image = np.asarray(pairs[block].reconstruct(photo[None]))[0]
        found[f"block {block}: L1 {measure(image, photo).l1:.2f}"] = image
    return found
