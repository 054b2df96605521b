"""Pictures from a VAE: samples, walks, and single latent units."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from vgg_unpool_jax.evaluation.pictures import enlarge, square_grid
from vgg_unpool_jax.systems.vae.pictures import walk

# Latent units that have sliders.
UNITS = 8
_SHOWN = 512


def grid(vae: Any, seed: int, count: int, temperature: float) -> np.ndarray:
    """Samples of the prior, as the command `sample` draws them."""
    images = np.asarray(vae.sample(jax.random.key(seed), count, temperature))
    return square_grid(images)


def walk_frames(vae: Any, seed: int, steps: int, temperature: float) -> np.ndarray:
    """Images (steps, h, w, 3) on the line between two samples of the prior."""
    return np.asarray(vae.decode(walk(_codes(vae, seed, 2) * temperature, steps)))


def with_units(vae: Any, seed: int, units: Sequence[float]) -> np.ndarray:
    """The image of a random code whose first units are replaced."""
    code = _codes(vae, seed, 1)
    code[0, : len(units)] = units[: code.shape[1]]
    image = np.asarray(vae.decode(code))[0]
    return enlarge(image, max(1, _SHOWN // vae.image_size))


def units_of(vae: Any, seed: int) -> list[float]:
    """The first units of a random code."""
    return [float(value) for value in _codes(vae, seed, 1)[0, :UNITS]]


def _codes(vae: Any, seed: int, count: int) -> np.ndarray:
    key = jax.random.key(seed)
    return np.array(jax.random.normal(key, (count, vae.latent_size), np.float32))
