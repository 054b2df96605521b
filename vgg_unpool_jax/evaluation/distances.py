"""Distances between photos or features, in units of the distance of different photos.

    normalised error = mean of |a - b| / mean of |b - b'| over all pairs of photos

0 is perfect; 1 is as far from its photo as other photos are.

Source: Dosovitskiy and Brox, "Inverting visual representations with convolutional
networks", 2016.
"""

import jax
import jax.numpy as jnp
import numpy as np

_SKETCH = 4096
_BLOCK = 1024


def distances(a: jax.Array, b: jax.Array) -> jax.Array:
    """Euclidean distance (n,) of arrays (n, ...)."""
    axes = tuple(range(1, a.ndim))
    return jnp.sqrt(jnp.sum(jnp.square(a - b), axis=axes))


def cosines(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cosine (n,) of the angle between arrays (n, ...); 0 where one is zero."""
    a, b = (x.reshape(len(x), -1) for x in (a, b))
    lengths = jnp.linalg.norm(a, axis=1) * jnp.linalg.norm(b, axis=1)
    return jnp.sum(a * b, axis=1) / jnp.maximum(lengths, 1e-12)


def sketch(arrays: jax.Array) -> jax.Array:
    """Short rows with the distances of long ones: sums with fixed random signs.

    Args:
      arrays: (n, ...).

    Returns:
      (n, at most 4096). Squared distances between rows are right on average, each with
      a standard deviation of 2 %; those of up to 4096 numbers are exact.
    """
    rows = arrays.reshape(len(arrays), -1).astype(jnp.float32)
    size = rows.shape[1]
    if size <= _SKETCH:
        return rows
    signs = jax.random.rademacher(jax.random.key(0), (size,), jnp.float32)
    rows = jnp.pad(rows * signs[None], ((0, 0), (0, -size % _SKETCH)))
    return jnp.sum(rows.reshape(len(arrays), -1, _SKETCH), axis=1)


def normalised_error(found: np.ndarray, rows: np.ndarray) -> float | None:
    """See the module.

    Args:
      found: (n,), distances of photos from their reconstructions.
      rows: (n, d), of the photos, see `sketch`.

    Returns:
      The error; None for fewer than two photos, or equal ones.
    """
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.mean(axis=0)
    squares, total = np.sum(rows**2, axis=1), 0.0
    # In blocks: the distances of all pairs together may need more memory than there is.
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        pairs = squares[start : start + _BLOCK, None] + squares[None, start:]
        pairs -= 2.0 * block @ rows[start:].T
        total += np.sum(np.triu(np.sqrt(np.maximum(pairs, 0.0)), 1))
    if not total:
        return None
    count = len(rows) * (len(rows) - 1) / 2
    return float(np.asarray(found, np.float64).mean() / (total / count))
