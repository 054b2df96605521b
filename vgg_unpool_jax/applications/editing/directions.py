"""Principal directions of a photo's features: found, scaled, dropped."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.editing.photos import (
    decode_photo_features,
    encode_photo,
)
from vgg_unpool_jax.applications.resizing import as_photo
from vgg_unpool_jax.errors import ConfigError, require_image
from vgg_unpool_jax.ops.placing import on_device
from vgg_unpool_jax.systems.unpooling.pair import Pair


class PrincipalDirections(NamedTuple):
    """Directions in which the features of a photo vary most over its positions.

    Attributes:
      mean: (c,) of the features.
      vectors: (count, c) of unit length, orthogonal, by falling variance; the entry of
        largest magnitude is positive.
      variances: (count,) along them.
      total: sum of the variances along all c directions.
    """

    mean: jax.Array
    vectors: jax.Array
    variances: jax.Array
    total: jax.Array

    def explained(self) -> np.ndarray:
        """(count,) shares of the total variance; zeros for features of no variance."""
        total = np.asarray(self.total)
        shares = np.asarray(self.variances) / np.where(total > 0, total, 1.0)
        return np.clip(shares, 0.0, 1.0)


def principal_directions(features, count: int) -> PrincipalDirections:
    """Principal components of features, each position a sample of c numbers.

    Args:
      features: (n, h, w, c), as from `encode_photo`.
      count: how many, 1 to c.

    Returns:
      The directions of largest variance.
    """
    features = on_device(features, jnp.float32)
    require_image("features", features, 4, None)
    if not 1 <= count <= features.shape[-1]:
        raise ConfigError(
            f"count must be from 1 to the {features.shape[-1]} channels of the "
            f"features, got {count}"
        )
    return _principal_directions(features, int(count))


def scale_directions(
    pair: Pair,
    photo,
    count: int,
    factors: Sequence[float],
) -> np.ndarray:
    """Scale how far features lie from their mean along principal directions.

    Features outside these directions are unchanged, and so are the switches. Scaled
    features may be negative, unlike those of an encoder.

    Args:
      pair: a trained pair.
      photo: (h, w, 3).
      count: number of top directions of this photo, 1 to c.
      factors: one for each picture; 1 is the reconstruction, 0 drops the directions.

    Returns:
      (len(factors), h, w, 3).
    """
    factors = np.asarray(factors, np.float32)
    if factors.ndim != 1 or not factors.size or not np.isfinite(factors).all():
        raise ConfigError(f"factors must be a list of finite numbers, got {factors}")
    photo = as_photo(photo)
    features, switches = encode_photo(pair, photo)
    found = principal_directions(features, count)
    return np.stack(
        [
            decode_photo_features(
                pair,
                _scale_along(features, found.mean, found.vectors, factor),
                switches,
                photo.shape[:2],
            )
            for factor in factors
        ]
    )


def drop_directions(pair: Pair, photo, counts: Sequence[int]) -> np.ndarray:
    """Set the top principal directions of a photo's features to their mean.

    Args:
      pair: a trained pair.
      photo: (h, w, 3).
      counts: how many directions are dropped, one number for each picture; 0 is the
        reconstruction, and all c leave the mean feature at every position.

    Returns:
      (len(counts), h, w, 3).
    """
    photo = as_photo(photo)
    features, switches = encode_photo(pair, photo)
    channels = features.shape[-1]
    if not len(counts) or not all(0 <= count <= channels for count in counts):
        raise ConfigError(
            f"counts must be numbers from 0 to the {channels} channels of block "
            f"{pair.block}, got {list(counts)}"
        )
    found = principal_directions(features, max(1, *counts))
    frames = []
    for count in counts:
        # Vectors of zeros in place of those that stay: one shape for all counts.
        dropped = jnp.where(
            jnp.arange(len(found.vectors))[:, None] < count, found.vectors, 0.0
        )
        changed = _scale_along(features, found.mean, dropped, 0.0)
        frames.append(decode_photo_features(pair, changed, switches, photo.shape[:2]))
    return np.stack(frames)


@jax.jit
def _scale_along(features, mean, vectors, factor):
    centred = features - mean[None, None, None]
    along = jnp.matmul(centred, vectors.T, precision="highest")
    return features + (factor - 1.0) * jnp.matmul(along, vectors, precision="highest")


@functools.partial(jax.jit, static_argnames="count")
def _principal_directions(features, count):
    samples = features.reshape(-1, features.shape[-1])
    mean = samples.mean(axis=0)
    centred = samples - mean[None]
    covariance = jnp.matmul(centred.T, centred, precision="highest") / len(samples)
    variances, vectors = jnp.linalg.eigh(covariance)
    variances, vectors = variances[::-1][:count], vectors[:, ::-1][:, :count].T
    largest = jnp.argmax(jnp.abs(vectors), axis=1)[:, None]
    signs = jnp.sign(jnp.take_along_axis(vectors, largest, axis=1))
    total = jnp.trace(covariance)
    return PrincipalDirections(mean, vectors * signs, jnp.maximum(variances, 0), total)
