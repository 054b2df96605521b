"""Means and covariances over square windows, at a cost that no radius changes.

Sums over a window as differences of one long cumulative sum lose the small digits, and
so does a variance as mean(x²) - mean(x)². Here no number is ever taken off a larger
one. The rows (then the columns) are cut into blocks as long as the window. A window
then is the end of one block and the beginning of the next, whose moments are known
from one walk through the blocks in each direction, and merging two sets of pixels

    mean = u · mean_a + v · mean_b
    cov  = u · cov_a + v · cov_b + u · v · (mean_a - mean_b) (mean_a - mean_b)ᵀ

with u + v = 1 only adds. Beyond its border an image goes on as its mirror image, the
outermost pixel repeated (`symmetric` in NumPy, `BORDER_REFLECT` in OpenCV, which
`cv2.ximgproc.guidedFilter` uses), as often as the radius asks for it.

Source:
  van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and
  octagonal kernels", 1992, for the blocks; Chan, Golub and LeVeque, "Updating formulae
  and a pairwise algorithm for computing sample variances", 1979, for the merging.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Moments(NamedTuple):
    """Moments of q quantities over windows.

    Attributes:
      means: (q, height, width).
      covariances: for i from 0 up to how many were asked for, (q - i, height, width):
        of quantity i with itself and all that come after it.
    """

    means: jax.Array
    covariances: tuple[jax.Array, ...]


def box_mean(images, radius: int) -> jax.Array:
    """Mean over the window of (2 · radius + 1)² pixels around every pixel.

    Args:
      images: (..., height, width, channels), real, of any range.
      radius: of the window in pixels, from 0 on; it may exceed the image, which is
        mirrored at its border.

    Returns:
      Means, float32, of the shape of the images. Beside float64 they are right within
      1e-6 of the range.
    """
    images = jnp.asarray(images, jnp.float32)
    if images.ndim < 3 or not images.size:
        raise ValueError(
            f"images must have shape (..., height, width, channels), got {images.shape}"
        )
    return _box_mean(images, check_radius(radius))


@functools.partial(jax.jit, static_argnums=1)
def _box_mean(images, radius):
    *_, height, width, channels = images.shape
    planes = jnp.moveaxis(images.reshape(-1, height, width, channels), -1, 1)
    planes = planes.reshape(-1, height, width)
    means = window_moments(planes, 0, radius).means
    means = means.reshape(-1, channels, height, width)
    return jnp.moveaxis(means, 1, -1).reshape(images.shape)


def check_radius(radius: int) -> int:
    """Return the radius as an int, or raise ValueError for what is none."""
    try:
        number = operator.index(radius)
    except TypeError:
        number = -1
    if isinstance(radius, bool) or number < 0:
        raise ValueError(f"radius must be a whole number from 0 on, got {radius!r}")
    return number


def window_moments(planes: jax.Array, guides: int, radius: int) -> Moments:
    """Means and covariances over the window around every pixel, for use under jit.

    Args:
      planes: (q, height, width) float32.
      guides: of how many of the quantities, from the first on, covariances are wanted.
      radius: of the window in pixels.

    Returns:
      Moments with the number of pixels in the denominator.
    """
    # Pixels have no covariance yet.
    zeros = tuple(jnp.zeros((1, 1, 1), jnp.float32) for _ in range(guides))
    moments = Moments(planes, zeros)
    if radius == 0:
        return Moments(
            planes, tuple(jnp.zeros_like(planes[guide:]) for guide in range(guides))
        )
    for _ in range(2):
        moments = jax.tree.map(lambda array: jnp.swapaxes(array, 1, 2), moments)
        moments = _along_rows(moments, radius)
    return moments


def _along_rows(moments: Moments, radius: int) -> Moments:
    """Moments over windows of rows, from those of single rows."""
    length = moments.means.shape[1]
    size = 2 * radius + 1
    blocks = -(-(length + 2 * radius) // size)
    # What fills the last block is in no window.
    places = _mirrored(np.arange(blocks * size) - radius, length).reshape(blocks, size)

    def cut(array):
        # An array of zeros that stands for all pixels has one row.
        return array[:, places if array.shape[1] > 1 else np.zeros((1, size), int)]

    blocked = jax.tree.map(cut, moments)
    ends = _walk(blocked, reverse=True)
    begins = _walk(blocked, reverse=False)

    def rows(start):
        def take(array):
            array = array.reshape(len(array), blocks * size, -1)
            return array[:, start : start + length]

        return take

    # The window that starts at row i of the mirrored image ends at i + size - 1.
    share = np.arange(length) % size / size
    share = jnp.asarray(share, jnp.float32)[:, None]
    return merge_windows(
        jax.tree.map(rows(0), ends), jax.tree.map(rows(size - 1), begins), share
    )


def _mirrored(places: np.ndarray, length: int) -> np.ndarray:
    """Where to look for pixels of which some are beyond the border."""
    places = places % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)


def merge_windows(first: Moments, second: Moments, share) -> Moments:
    """Moments of two sets of pixels, `share` being how many are of the second.

    Args:
      first: as of `window_moments`.
      second: of the same shapes.
      share: in [0, 1], a number or an array that broadcasts with the planes.
    """
    steps = second.means - first.means
    covariances = []
    pairs = zip(first.covariances, second.covariances, strict=True)
    for guide, (old, new) in enumerate(pairs):
        between = share * (1.0 - share) * (steps[guide] * steps[guide:])
        covariances.append((1.0 - share) * old + share * new + between)
    return Moments(first.means + share * steps, tuple(covariances))


def _walk(blocked: Moments, *, reverse: bool) -> Moments:
    """Moments of blocks (q, blocks, size, width) up to, or from, each of their rows."""
    size = blocked.means.shape[2]

    def take(row):
        return jax.tree.map(
            lambda array: jax.lax.dynamic_index_in_dim(array, row, 2, keepdims=False),
            blocked,
        )

    def put(written, moments, row):
        return jax.tree.map(
            lambda array, new: jax.lax.dynamic_update_index_in_dim(array, new, row, 2),
            written,
            moments,
        )

    def step(count, carry):
        running, written = carry
        row = size - 1 - count if reverse else count
        share = 1.0 / (count + 1.0)
        running = merge_windows(running, take(row), jnp.float32(share))
        return running, put(written, running, row)

    row = size - 1 if reverse else 0
    running = take(row)
    covariances = tuple(
        jnp.broadcast_to(array, running.means[guide:].shape)
        for guide, array in enumerate(running.covariances)
    )
    running = Moments(running.means, covariances)
    # The walk writes every row.
    whole = blocked.means.shape[1:]
    written = jax.tree.map(lambda array: jnp.zeros((len(array), *whole)), running)
    carry = running, put(written, running, row)
    return jax.lax.fori_loop(1, size, step, carry)[1]
