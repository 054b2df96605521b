"""Smooth what is added to a photo, along the photo's edges.

The result is the photo plus a smoothed difference of the stylised image from it. Where
the photo has no edge the difference is smooth, so the photo's detail stays as it is at
its own contrast; at an edge the difference may jump, so light does not bleed over it.

The difference u is smoothed by weighted least squares along rows and columns in turn:
each minimises

    Σ (u_i - d_i)² + λ Σ w_i (u_{i+1} - u_i)²,   w_i = exp(-|g_{i+1} - g_i| / sigma)

of the guide's colours g, which is a tridiagonal system. Three rounds with λ falling by
four each leave no streaks.

Source: Min et al., "Fast global image smoothing based on weighted least squares", 2014,
for the rounds and their λ.
"""

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.systems.unpooling.shapes import ShapedPrograms

_ROUNDS = 3


def add_smoothed_difference(
    guide, image, *, radius: float | None = None, sigma: float = 30.0
) -> np.ndarray:
    """A photo plus the smoothed difference of an image from it.

    Args:
      guide: (h, w, 3) RGB in [0, 255], the photo.
      image: (h, w, 3) on the scale of [0, 255], stylised.
      radius: to which differences of flat areas are averaged, in pixels; None is a
        twentieth of the longer side.
      sigma: step of the guide's colour, in grey levels, that divides the weight across
        it by e; positive.

    Returns:
      (h, w, 3) float32 on the scale of [0, 255], not clipped.
    """
    check_photo_range("guide", guide)
    guide = np.asarray(guide, np.float32)
    require_image("guide", guide, 3)
    if np.shape(image) != guide.shape:
        raise ValueError(
            f"image must have the shape of guide, {guide.shape}, got {np.shape(image)}"
        )
    return guide + smooth_along(
        guide, np.asarray(image, np.float32) - guide, radius=radius, sigma=sigma
    )


def smooth_along(
    guide, values, *, radius: float | None = None, sigma: float = 30.0
) -> np.ndarray:
    """Smooth values along the edges of a guide.

    Args:
      guide: (h, w, 3) RGB in [0, 255].
      values: (h, w, c), of any range.
      radius: see `add_smoothed_difference`.
      sigma: see `add_smoothed_difference`.

    Returns:
      (h, w, c) float32.
    """
    if radius is None:
        radius = max(np.shape(guide)[:2]) / 20
    if not radius >= 0 or not sigma > 0:
        raise ValueError(
            f"radius must be from 0 on and sigma positive, got {radius} and {sigma}"
        )
    arrays = [np.asarray(array, np.float32)[None] for array in (guide, values)]
    options = float(radius**2), float(sigma)
    return np.asarray(_programs(options, arrays, np.shape(guide)[:2]))[0]


def _smooth(options, arrays, size):
    """Of one photo; no weight leads to what is beyond `size`, see `ShapedPrograms`."""
    (strength, sigma), (guide, values) = options, (array[0] for array in arrays)
    height, width = guide.shape[:2] if size is None else size
    across = _weights(guide.swapaxes(0, 1), sigma, width)
    down = _weights(guide, sigma, height)
    for number in range(_ROUNDS):
        share = 1.5 * 4.0 ** (_ROUNDS - number - 1) / (4.0**_ROUNDS - 1.0)
        values = _solve(values.swapaxes(0, 1), share * strength * across)
        values = _solve(values.swapaxes(0, 1), share * strength * down)
    return values[None]


_programs = ShapedPrograms(_smooth)


def _weights(guide, sigma, end):
    """(n - 1, m) weights between neighbours along the first axis, none beyond `end`."""
    steps = jnp.sqrt(jnp.sum(jnp.square(guide[1:] - guide[:-1]), axis=-1))
    within = jnp.arange(1, len(guide)) < end
    return jnp.where(within[:, None], jnp.exp(-steps / sigma), 0.0)


def _solve(values, weights):
    """Solve the tridiagonal systems along the first axis of (n, m, c)."""
    none = jnp.zeros_like(weights, shape=(1, weights.shape[1]))
    before = jnp.concatenate([none, weights])
    after = jnp.concatenate([weights, none])

    def eliminate(carry, row):
        factor, solved = carry
        left, right, value = row
        pivot = 1.0 + left + right - left * factor
        factor = right / pivot
        solved = (value + left[:, None] * solved) / pivot[:, None]
        return (factor, solved), (factor, solved)

    start = jnp.zeros_like(before[0]), jnp.zeros_like(values[0])
    _, (factors, solved) = jax.lax.scan(eliminate, start, (before, after, values))

    def substitute(following, row):
        factor, value = row
        value = value + factor[:, None] * following
        return value, value

    rows = factors, solved
    _, found = jax.lax.scan(substitute, jnp.zeros_like(values[0]), rows, reverse=True)
    return found
