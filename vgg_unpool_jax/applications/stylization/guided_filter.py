"""The guided filter: what is left of an image is a local affine map of its guide."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.box_filter import (
    Moments,
    check_radius,
    window_moments,
)
from vgg_unpool_jax.systems.unpooling.tiling import tile_spans

_WHITE = 255.0
# Orthonormal axes of colour, grey first. eps times the identity is the same on them,
# and photos vary along the first mostly: grey guides stay exactly of rank one.
_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


def guided_filter(
    guide, image, *, radius: int | None = None, eps: float = 1e-4, tile: int = 0
) -> np.ndarray | jax.Array:
    """Give an image the edges of a guide.

    Around every pixel k the image is fitted by an affine map of the guide's colour,

        a_k = (Σ_k + eps · I)⁻¹ cov_k(guide, image)
        b_k = mean_k(image) - a_kᵀ mean_k(guide)

    over a window of 2 · radius + 1 pixels a side, and the result at pixel i is the mean
    of a_kᵀ guide_i + b_k over the windows k that hold i. It depends on pixels at up to
    2 · radius. Images go on beyond their border as in `box_mean`; the result is that of
    `cv2.ximgproc.guidedFilter` with eps times 255², the border included, down to where
    OpenCV's own rounding takes over: with its float32 sums of squares and eps 1.5e-8 it
    is off by tens of grey levels on grey guides.

    Args:
      guide: (h, w, 3) RGB in [0, 255], any real dtype: the content photo.
      image: (h, w, 3) RGB in [0, 255], any real dtype: what is to be smoothed.
      radius: of the windows in pixels, from 0 on; None takes a twentieth of the longer
        side, 35 pixels of 700.
      eps: variance of the guide, for intensities in [0, 1], below which a window
        counts as flat; positive. Values below 1e-8 make no sense: rounding the guide
        to 8 bits alone adds a variance of 1.3e-6.
      tile: an image with a longer side is done in tiles of so many pixels a side, their
        margins of 2 · radius included, on the device, and comes back in the memory of
        the host; 0 does it whole.

    Returns:
      (h, w, 3) float32 on the scale of [0, 255], not clipped.

    Source:
      He, Sun and Tang, "Guided image filtering", 2013, section 3.5 (colour guide).
    """
    shapes = np.shape(guide), np.shape(image)
    check_guide_and_image(*shapes)
    radius = check_options(shapes[0], radius, eps)
    if tile < 0:
        raise ValueError(f"tile must be 0 or a number of pixels, got {tile}")
    if not tile or max(shapes[0]) <= tile:
        guide, image = (jnp.asarray(array, jnp.float32) for array in (guide, image))
        return _guided_filter(guide, image, jnp.float32(eps), radius)
    guide, image = np.asarray(guide), np.asarray(image)
    rows, columns = (
        tile_spans(length, tile, 2 * radius, 1) for length in shapes[0][:2]
    )
    result = np.empty(shapes[1], np.float32)
    for row in rows:
        for column in columns:
            window = slice(row.start, row.stop), slice(column.start, column.stop)
            output = _guided_filter(
                jnp.asarray(guide[window], jnp.float32),
                jnp.asarray(image[window], jnp.float32),
                jnp.float32(eps),
                radius,
            )
            output = np.asarray(output)
            result[row.outer, column.outer] = output[row.inner, column.inner]
    return result


def check_options(shape: tuple[int, ...], radius: int | None, eps: float) -> int:
    """The radius of `guided_filter` for a guide of a shape; raises ValueError."""
    if radius is None:
        radius = round(max(shape) / 20)
    if not 0.0 < eps < np.inf:
        raise ValueError(f"eps must be a positive number, got {eps!r}")
    return check_radius(radius)


def check_guide_and_image(
    guide: tuple[int, ...], image: tuple[int, ...], *, name: str = "image"
) -> None:
    """Raise ValueError unless both shapes are the same (height, width, 3)."""
    for label, shape in (("guide", guide), (name, image)):
        if len(shape) != 3 or shape[2] != 3 or not all(shape):
            raise ValueError(f"{label} must have shape (height, width, 3), got {shape}")
    if guide != image:
        raise ValueError(f"guide has shape {guide} and {name} {image}; wanted the same")


@functools.partial(jax.jit, static_argnums=3)
def _guided_filter(guide, image, eps, radius):
    return apply_fits(joint_moments(guide, image, radius), guide, eps, radius)


def joint_moments(guide: jax.Array, image: jax.Array, radius: int) -> Moments:
    """Window moments of guide and image together, for use under jit.

    Args:
      guide: (h, w, 3) float32 in [0, 255].
      image: (h, w, 3) float32 on the same scale.
      radius: of the windows in pixels.

    Returns:
      Moments of six planes, the guide's axes first, on the scale of [-0.5, 0.5].
    """
    planes = [*_guide_axes(guide), *jnp.moveaxis(_centred(image), -1, 0)]
    return window_moments(jnp.stack(planes), 3, radius)


def apply_fits(moments: Moments, guide: jax.Array, eps, radius: int) -> jax.Array:
    """The guided filter from moments on, for use under jit.

    Args:
      moments: of `joint_moments`, or averages of several.
      guide: (h, w, 3) float32 in [0, 255], what the fits are applied to.
      eps: see `guided_filter`.
      radius: of the windows over which the fits are averaged.

    Returns:
      (h, w, 3) float32 on the scale of [0, 255].
    """
    means, covariances = moments
    # The upper triangle of the guide's, and those of guide and image.
    matrix = {(i, j): covariances[i][j - i] for i in range(3) for j in range(i, 3)}
    for axis in range(3):
        matrix[axis, axis] += eps
    slopes = _solve(matrix, [covariances[axis][3 - axis :] for axis in range(3)])
    offsets = means[3:]
    for axis in range(3):
        offsets -= slopes[axis] * means[axis]
    means = window_moments(jnp.concatenate([*slopes, offsets]), 0, radius).means
    *slopes, outputs = means.reshape(4, 3, *means.shape[1:])
    for slope, plane in zip(slopes, _guide_axes(guide), strict=True):
        outputs += slope * plane
    return (jnp.moveaxis(outputs, 0, -1) + 0.5) * _WHITE


def _centred(photo):
    # Around mid-grey, because float32 has most digits around 0.
    return photo / _WHITE - 0.5


def _guide_axes(guide) -> list[jax.Array]:
    guide, axes = _centred(guide), jnp.asarray(_AXES, jnp.float32)
    return [
        row[0] * guide[..., 0] + row[1] * guide[..., 1] + row[2] * guide[..., 2]
        for row in axes
    ]


def _solve(matrix, right):
    """Solve 3×3 systems at every pixel by L D Lᵀ; `matrix` is the upper triangle."""
    first = matrix[0, 0]
    low1, low2 = matrix[0, 1] / first, matrix[0, 2] / first
    second = matrix[1, 1] - low1 * matrix[0, 1]
    inner = matrix[1, 2] - low1 * matrix[0, 2]
    low3 = inner / second
    third = matrix[2, 2] - low2 * matrix[0, 2] - low3 * inner
    y0 = right[0]
    y1 = right[1] - low1 * y0
    y2 = right[2] - low2 * y0 - low3 * y1
    x2 = y2 / third
    x1 = y1 / second - low3 * x2
    return y0 / first - low1 * x1 - low2 * x2, x1, x2
