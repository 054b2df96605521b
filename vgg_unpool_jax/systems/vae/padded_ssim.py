"""Structural similarity at every pixel, with black beyond the border of the photo."""

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.losses import WINDOW_SIZE, local_mean
from vgg_unpool_jax.losses.checks import require_matching

_WHITE = 255.0
_MARGIN = WINDOW_SIZE // 2
_SIGMA = 1.5
# (0.01 · range)² and (0.03 · range)² for the range 1, as in Wang et al. 2004.
_C1 = 0.01**2
_C2 = 0.03**2


def _share_inside(length: int) -> np.ndarray:
    """Share of the window that is inside a photo, per position along one side."""
    offsets = np.arange(-_MARGIN, _MARGIN + 1)
    weights = np.exp(-0.5 * np.square(offsets / _SIGMA))
    weights /= weights.sum()
    ones = np.pad(np.ones(length), _MARGIN)
    share = np.convolve(ones, weights, mode="valid")
    # Away from the border it is 1, not 1 less a rounding error.
    share[_MARGIN : max(_MARGIN, length - _MARGIN)] = 1.0
    return share


def _mean_and_variance(
    images: jax.Array, inside: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mean and variance under the window, over the photo and the zeros around it.

    With x = o + c, where o is the mean of a photo's channel and c is what is left, and
    with m the share of the window inside the photo,

        mean(x) = o · m + mean(c)
        var(x)  = var(c) + (1 - m) · (2 · o · mean(c) + m · o²)

    which keeps the digits of dull photos that mean(x²) - mean(x)² loses in float32.
    """
    offset = jnp.mean(images, axis=(1, 2), keepdims=True)
    centred = images - offset
    margin = ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
    maps = jnp.pad(jnp.concatenate([centred, jnp.square(centred)]), margin)
    mean, mean_square = jnp.split(local_mean(maps), 2)
    variance = mean_square - jnp.square(mean)
    border = (1.0 - inside) * (2.0 * offset * mean + inside * jnp.square(offset))
    return offset * inside + mean, variance + border


def photo_ssim_zero_padded(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Structural similarity of each photo as much-copied torch code computes it.

    The photos are surrounded by five black pixels, so that the map of similarities is
    as large as the photo and there is no smallest size. Black agrees with black, so
    the values are mostly higher than those of `photo_ssim`, and the two must not be
    in one column: 60 photos of 64 × 64 pixels, blurred with a standard deviation of 2,
    have 0.64 here and 0.56 there. The smaller the photos, the larger the difference.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 without unit, in [-1, 1]; 1 where a photo equals its target. The
      mean over pixels and channels.

    Source:
      Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error
      visibility to structural similarity", 2004, with a Gaussian window of 11 × 11
      pixels and standard deviation 1.5, C1 = 1e-4 and C2 = 9e-4 for images in [0, 1],
      after `F.conv2d(..., padding=5)`.
    """
    predictions, targets = require_matching(predictions, targets)
    predictions, targets = predictions / _WHITE, targets / _WHITE
    height, width = predictions.shape[1:3]
    share = np.outer(_share_inside(height), _share_inside(width))
    inside = jnp.asarray(share[None, :, :, None], jnp.float32)
    # The two factors of SSIM through sum and difference of the images, as in
    # losses/ms_ssim.py: almost equal photos keep their digits, equal ones give 1.
    mean_s, variance_s = _mean_and_variance(predictions + targets, inside)
    mean_d, variance_d = _mean_and_variance(predictions - targets, inside)
    squares = (jnp.square(mean_s) + jnp.square(mean_d)) / 2.0
    luminance_loss = jnp.square(mean_d) / (squares + _C1)
    contrast_loss = variance_d / ((variance_s + variance_d) / 2.0 + _C2)
    loss = luminance_loss + contrast_loss - luminance_loss * contrast_loss
    return 1.0 - jnp.mean(loss, axis=(1, 2, 3))
