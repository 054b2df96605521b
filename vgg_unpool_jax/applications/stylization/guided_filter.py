"""The guided filter: fits an image by a local affine function of its guide.

Window sums never subtract one long cumulative sum from another, which loses the small
digits. The rows (then the columns) are cut into blocks as long as the window; a window
is the end of one block and the beginning of the next, and both sums are cumulative sums
within a block. The cost does not depend on the radius. Beyond its border an image is
mirrored, the outermost pixel repeated (`symmetric` in NumPy, `BORDER_REFLECT` in
OpenCV).

Source:
  He, Sun and Tang, "Guided image filtering", 2013, section 3.5 (colour guide); van
  Herk, "A fast algorithm for local minimum and maximum filters on rectangular and
  octagonal kernels", 1992, for the blocks.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device
from vgg_unpool_jax.systems.unpooling.shapes import ShapedPrograms
from vgg_unpool_jax.systems.unpooling.tiling import tile_spans

_WHITE = 255.0
_TRIANGLE = tuple((i, j) for i in range(3) for j in range(i, 3))


def guided_filter(
    guide, image, *, radius: int | None = None, eps: float = 1e-4, tile: int = 0
) -> np.ndarray:
    """Give an image the edges of a guide.

    Around every pixel k the image is fitted by an affine map of the guide's colour,

        a_k = (Σ_k + eps · I)⁻¹ cov_k(guide, image)
        b_k = mean_k(image) - a_kᵀ mean_k(guide)

    over a window of 2 · radius + 1 pixels per side, and the result at pixel i is the
    mean of a_kᵀ guide_i + b_k over the windows k that contain i. It depends on pixels
    at up to 2 · radius. The result is that of `cv2.ximgproc.guidedFilter` with eps
    times 255², the border included.

    Args:
      guide: (h, w, 3) RGB in [0, 255], any real dtype: the content photo.
      image: (h, w, c) on the scale of [0, 255], any real dtype: what is filtered.
      radius: of the windows in pixels, from 0 on; None takes a twentieth of the longer
        side, 35 pixels of 700.
      eps: variance of the guide, for intensities in [0, 1], below which a window
        counts as flat; positive. Rounding the guide to 8 bits adds a variance of
        1.3e-6, and the float32 sums err by about 1e-7.
      tile: an image with a longer side is filtered in tiles of at most this many pixels
        per side, margins of 2 · radius included; 0 filters it whole.

    Returns:
      (h, w, c) float32 on the scale of [0, 255], not clipped.
    """
    radius, eps = _check(guide, image, radius, eps), float(eps)
    guide, image = np.asarray(guide), np.asarray(image)
    height, width = guide.shape[:2]
    if not tile or max(height, width) <= tile:
        arrays = [np.asarray(array, np.float32)[None] for array in (guide, image)]
        return np.asarray(_programs(radius)(eps, arrays, (height, width)))[0]
    rows, columns = (
        tile_spans(length, tile, 2 * radius, 1) for length in (height, width)
    )
    result = np.empty(image.shape, np.float32)
    for row in rows:
        for column in columns:
            window = slice(row.start, row.stop), slice(column.start, column.stop)
            output = guided_filter(guide[window], image[window], radius=radius, eps=eps)
            result[row.outer, column.outer] = output[row.inner, column.inner]
    return result


class SteadyGuidedFilter:
    """The guided filter with windows that reach back in time.

    The means and covariances of each window are averaged over the frames before, frame
    s counting in frame t by exp(-(t - s) / time_constant), and the fits are applied to
    the guide of frame t: colours that flicker become steady, and edges stay those of
    the frame.

    History is discounted where a window's content changes, and dropped once the jump
    exceeds `limit`:

        jump² = |mean_t - mean|² / (½ (tr cov_t + tr cov) + 3 eps)

    of the guide in the window, against the averages without frame t.
    """

    def __init__(
        self,
        time_constant: float,
        *,
        limit: float = 1.0,
        radius: int | None = None,
        eps: float = 1e-4,
    ):
        """Begin a film.

        Args:
          time_constant: in frames, from 0 on; 0 is `guided_filter` frame by frame.
          limit: see the class, positive.
          radius: see `guided_filter`.
          eps: see `guided_filter`.
        """
        if not 0 <= time_constant < math.inf or not limit > 0:
            raise ValueError(
                f"time_constant must be a number of frames from 0 on and limit "
                f"positive, got {time_constant!r} and {limit!r}"
            )
        self._keep = math.exp(-1 / time_constant) if time_constant else 0.0
        self._limit, self._radius, self._eps = float(limit), radius, float(eps)
        self._past = None

    def begin_scene(self) -> None:
        """Forget the frames so far."""
        self._past = None

    def __call__(self, guide, image) -> jax.Array:
        """Filter the next frame.

        Args:
          guide: (h, w, 3) RGB in [0, 255], the frame.
          image: (h, w, 3), the stylised frame.

        Returns:
          (h, w, 3) float32 on the scale of [0, 255], not clipped. About 90 bytes per
          pixel are kept for the next frame.
        """
        radius = _check(guide, image, self._radius, self._eps)
        guide, image = _float32(guide), _float32(image)
        means = _frame_products(guide, image, radius)
        total = jnp.ones(guide.shape[:2], jnp.float32)
        if self._past is not None and self._keep:
            before = self._past[1].shape
            if before != total.shape:
                raise ValueError(
                    f"guide must have the size of the frames before, {before}, got "
                    f"{total.shape}"
                )
            options = self._eps, self._keep, self._limit
            means, total = _average(*self._past, means, *options)
        self._past = means, total
        return _frame_fits(means, guide, self._eps, radius)


def _check(guide, image, radius, eps) -> int:
    """Check the arguments of a filter; returns the radius."""
    check_photo_range("guide", guide)
    guide, image = np.shape(guide), np.shape(image)
    for name, shape, channels in (("guide", guide, 3), ("image", image, None)):
        require_image(name, np.broadcast_to(0, shape), 3, channels)
    if guide[:2] != image[:2]:
        raise ValueError(f"guide {guide} and image {image} must have the same size")
    radius = round(max(guide) / 20) if radius is None else radius
    if radius < 0 or not 0.0 < eps < math.inf:
        raise ValueError(
            f"radius must be from 0 on and eps positive, got {radius!r} and {eps!r}"
        )
    return radius


def _float32(array) -> jax.Array:
    return on_device(array, jnp.float32)


@functools.lru_cache(maxsize=4)
def _programs(radius: int) -> ShapedPrograms:
    """The filter of one photo; with the radius goes what was compiled for it."""

    def filter_arrays(eps, arrays, size):
        guide, image = (array[0] for array in arrays)
        means = _window_products(guide, image, radius, size)
        return _apply_fits(means, guide, eps, radius, size)[None]

    return ShapedPrograms(filter_arrays)


def _window_products(guide, image, radius, size=None):
    """Window means of guide (3, h, w), image (c, h, w), and of products.

    "squares" (6, h, w) are the products of the guide's channels with each other,
    "products" (3, c, h, w) those of each of them with the image.
    """
    guide, image = _planes(guide), _planes(image)
    parts = {
        "guide": guide,
        "image": image,
        "squares": jnp.stack([guide[i] * guide[j] for i, j in _TRIANGLE]),
        "products": guide[:, None] * image[None],
    }

    def mean(part):
        flat = window_means(part.reshape(-1, *part.shape[-2:]), radius, size)
        return flat.reshape(part.shape)

    return jax.tree.map(mean, parts)


def _apply_fits(means, guide, eps, radius, size=None):
    """Fit each window from its means, and apply the mean fits to the guide."""
    covariance = _guide_covariance(means)
    for axis in range(3):
        covariance[axis, axis] += eps
    apart = means["guide"][:, None] * means["image"][None]
    slopes = jnp.stack(_solve(covariance, means["products"] - apart, eps))
    offsets = means["image"] - jnp.sum(slopes * means["guide"][:, None], axis=0)
    fits = jnp.concatenate([slopes.reshape(-1, *offsets.shape[1:]), offsets])
    fits = window_means(fits, radius, size).reshape(4, *offsets.shape)
    outputs = fits[3] + jnp.sum(fits[:3] * _planes(guide)[:, None], axis=0)
    return (jnp.moveaxis(outputs, 0, -1) + 0.5) * _WHITE


_frame_products = jax.jit(_window_products, static_argnums=2)
_frame_fits = jax.jit(_apply_fits, static_argnums=3)


@jax.jit
def _average(past, total, now, eps, keep, limit):
    """Window means averaged over time, and the sum of the frames' shares (h, w)."""
    distance = jnp.sum((now["guide"] - past["guide"]) ** 2, axis=0)
    covariances = _guide_covariance(past), _guide_covariance(now)
    spread = sum(each[axis, axis] for each in covariances for axis in range(3)) / 2
    jump = distance / (spread + 3 * eps) / limit**2
    total = keep * total * (1.0 - jnp.minimum(jump, 1.0)) + 1.0
    share = 1.0 / total

    # Exactly the new means where the share is 1.
    def mix(a, b):
        weight = jnp.broadcast_to(share, a.shape)
        return (1.0 - weight) * a + weight * b

    means = jax.tree.map(mix, past, now)
    return means, total


def _guide_covariance(means):
    """The upper triangle of the guide's covariance in each window.

    What rounding alone can make of it is left out: negative variances, correlations
    beyond 1.
    """
    guide = means["guide"]
    found = {
        (i, j): square - guide[i] * guide[j]
        for (i, j), square in zip(_TRIANGLE, means["squares"], strict=True)
    }
    deviations = [jnp.sqrt(jnp.maximum(found[i, i], 0.0)) for i in range(3)]
    for i, j in _TRIANGLE:
        largest = deviations[i] * deviations[j]
        found[i, j] = jnp.clip(found[i, j], -largest, largest)
    return found


def window_means(planes: jax.Array, radius: int, size=None) -> jax.Array:
    """Means over windows of (2 · radius + 1)² pixels, for use under jit.

    Args:
      planes: (q, height, width) float32.
      radius: of the window in pixels; it may exceed the image.
      size: height and width of the image, beyond which planes are padding; None is
        all of them.
    """
    height, width = planes.shape[1:] if size is None else size
    for side in (width, height):
        planes = jnp.swapaxes(_means_along_rows(planes, radius, side), 1, 2)
    return planes


def _means_along_rows(planes, radius, side):
    count, height, width = planes.shape
    size = 2 * radius + 1
    blocks = -(-(width + 2 * radius) // size)
    # The end of the last block is in no window.
    columns = (np.arange(blocks * size) - radius) % (2 * side)
    columns = jnp.minimum(columns, 2 * side - 1 - columns)
    blocked = planes[..., columns].reshape(count, height, blocks, size)
    begins = jnp.cumsum(blocked, axis=-1)
    ends = jnp.flip(jnp.cumsum(jnp.flip(blocked, -1), axis=-1), -1)
    begins, ends = (part.reshape(count, height, -1) for part in (begins, ends))
    # The window that starts at column i ends at column i + size - 1. One that is a
    # whole block would be counted twice.
    starts = np.arange(width)
    sums = ends[..., starts] + jnp.where(
        (starts % size == 0)[None, None], 0.0, begins[..., starts + size - 1]
    )
    return sums / size


def _planes(photo):
    # Around mid-grey, because float32 has most digits around 0.
    return jnp.moveaxis(photo / _WHITE - 0.5, -1, 0)


def _solve(matrix, right, eps):
    """Solve 3×3 systems at every pixel by L D Lᵀ.

    `matrix` is the upper triangle of a covariance plus eps · I, whose pivots are at
    least eps: below it, and to zero, they come by rounding alone.
    """
    matrix = {place: values[None] for place, values in matrix.items()}
    first = jnp.maximum(matrix[0, 0], eps)
    low1, low2 = matrix[0, 1] / first, matrix[0, 2] / first
    second = jnp.maximum(matrix[1, 1] - low1 * matrix[0, 1], eps)
    inner = matrix[1, 2] - low1 * matrix[0, 2]
    low3 = inner / second
    third = jnp.maximum(matrix[2, 2] - low2 * matrix[0, 2] - low3 * inner, eps)
    y0 = right[0]
    y1 = right[1] - low1 * y0
    y2 = right[2] - low2 * y0 - low3 * y1
    x2 = y2 / third
    x1 = y1 / second - low3 * x2
    return y0 / first - low1 * x1 - low2 * x2, x1, x2
