"""Multi-scale structural similarity, as a metric and as a loss.

Images are float32 NHWC in [0, max_value], RGB in [0, 255] by default. The values equal
those of `tf.image.ssim_multiscale` with its default parameters.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.losses.checks import require_matching

# Exponents of the five scales, fine to coarse. Source: Wang, Simoncelli and Bovik,
# "Multiscale structural similarity for image quality assessment", Asilomar 2003,
# section 3.2.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# The window and the constants of SSIM. Source: Wang, Bovik, Sheikh and Simoncelli,
# "Image quality assessment: from error visibility to structural similarity", IEEE
# Transactions on Image Processing 13(4), 2004, section III-B and C.
WINDOW_SIZE = 11
_WINDOW_SIGMA = 1.5
_K1 = 0.01
_K2 = 0.03

# The coarsest scale has a sixteenth of the side, and its window must fit there.
MIN_SIDE = WINDOW_SIZE * 2 ** (len(SCALE_WEIGHTS) - 1)


def _window_weights() -> tuple[float, ...]:
    offsets = np.arange(WINDOW_SIZE) - (WINDOW_SIZE - 1) / 2
    weights = np.exp(-0.5 * np.square(offsets / _WINDOW_SIGMA))
    return tuple(float(weight) for weight in weights / weights.sum())


_WEIGHTS = _window_weights()


@functools.partial(jax.jit, static_argnames="axis", inline=True)
def _weighted_slices(maps: jax.Array, axis: int) -> jax.Array:
    length = maps.shape[axis] - WINDOW_SIZE + 1
    return sum(
        weight * jax.lax.slice_in_dim(maps, start, start + length, axis=axis)
        for start, weight in enumerate(_WEIGHTS)
    )


# Eleven shifted adds per axis. Measured on two CPU cores against a grouped convolution
# and products with banded matrices, this was the fastest from 192 to 1024 pixels, and
# its cost grows with the number of pixels, that of the matrices also with the side.
# It needs the explicit gradient below: XLA turns the transposed slices into a sum of
# eleven padded copies and becomes ten times slower.
@jax.custom_vjp
def local_mean(maps: jax.Array) -> jax.Array:
    """Mean under the Gaussian window of SSIM, where the window is inside the image.

    Args:
      maps: `(n, height, width, channels)` float32, sides of at least 11.

    Returns:
      `(n, height - 10, width - 10, channels)` in the unit of `maps`.
    """
    return _weighted_slices(_weighted_slices(maps, axis=1), axis=2)


def _local_mean_forward(maps: jax.Array) -> tuple[jax.Array, None]:
    return local_mean(maps), None


def _local_mean_backward(_: None, cotangent: jax.Array) -> tuple[jax.Array]:
    # The window is symmetric, hence the transpose of the valid correlation is the
    # same correlation over the zero-padded cotangent.
    margin = (WINDOW_SIZE - 1, WINDOW_SIZE - 1)
    return (local_mean(jnp.pad(cotangent, ((0, 0), margin, margin, (0, 0)))),)


local_mean.defvjp(_local_mean_forward, _local_mean_backward)


def _centre(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Images minus their mean per channel, and that mean.

    Subtracting a constant does not change variances, but keeps them from being small
    differences of large squares. For the same reason the mean may be treated as a
    constant in the gradient.
    """
    offset = jax.lax.stop_gradient(jnp.mean(images, axis=(1, 2), keepdims=True))
    return images - offset, offset


def _contrast_and_ssim(
    predictions: jax.Array, targets: jax.Array, max_value: float
) -> tuple[jax.Array, jax.Array]:
    """Mean contrast-structure term and mean SSIM, each `(n, channels)`.

    With x, y the images, s = x + y and d = x - y, the two factors of SSIM are

        luminance = 1 - mean(d)² / (mean(x)² + mean(y)² + c1)
        contrast  = 1 - var(d)   / (var(x) + var(y) + c2)

    where x² + y² = (s² + d²) / 2. Averaging the differences from 1 gives exactly 1 for
    equal images, independent of the rounding of the mean, and keeps the digits of
    nearly equal images, which the textbook form loses between x² and mean(x)².
    """
    c1 = (_K1 * max_value) ** 2
    c2 = (_K2 * max_value) ** 2
    total, total_offset = _centre(predictions + targets)
    difference, difference_offset = _centre(predictions - targets)
    # One call for all maps: concatenating them makes XLA compute each map once instead
    # of once per shifted slice.
    maps = jnp.concatenate(
        [total, difference, jnp.square(total), jnp.square(difference)], axis=0
    )
    mean_s, mean_d, mean_ss, mean_dd = jnp.split(local_mean(maps), 4, axis=0)
    variance_s = mean_ss - jnp.square(mean_s)
    variance_d = mean_dd - jnp.square(mean_d)
    contrast_loss = variance_d / ((variance_s + variance_d) / 2.0 + c2)
    mean_s = mean_s + total_offset
    mean_d = mean_d + difference_offset
    squares = (jnp.square(mean_s) + jnp.square(mean_d)) / 2.0
    luminance_loss = jnp.square(mean_d) / (squares + c1)
    # 1 - luminance · contrast, written without a 1, which would cost digits.
    ssim_loss = luminance_loss + contrast_loss - luminance_loss * contrast_loss
    spatial = (1, 2)
    return 1.0 - jnp.mean(contrast_loss, spatial), 1.0 - jnp.mean(ssim_loss, spatial)


def _halve(images: jax.Array) -> jax.Array:
    """2 × 2 average pooling; an odd side is first extended by its last row or column.

    TensorFlow pads symmetrically, which is the same for one pixel.
    """
    _, height, width, _ = images.shape
    odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    images = jnp.pad(images, odd, mode="edge")
    rows = images[:, 0::2] + images[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) / 4.0


def _positive_power(values: jax.Array, exponent: float) -> jax.Array:
    """max(values, 0) ** exponent with gradient 0 where values <= 0."""
    positive = values > 0
    # The inner `where` keeps 0 ** (exponent - 1) = inf out of the gradient: selecting
    # only the result would give 0 · inf = nan.
    return jnp.where(positive, jnp.where(positive, values, 1.0) ** exponent, 0.0)


# Compiled for callers outside `jit` too, because it is hundreds of small operations.
@functools.partial(jax.jit, static_argnames="max_value")
def ms_ssim(
    predictions: jax.Array, targets: jax.Array, *, max_value: float = 255.0
) -> jax.Array:
    """Multi-scale structural similarity of each pair of images.

    Per channel: the contrast terms of four scales and the SSIM of the fifth, each
    clipped at 0, raised to `SCALE_WEIGHTS` and multiplied; then the mean over channels.
    A channel with a term at or below 0 has the value 0 and no gradient.

    Args:
      predictions: images `(n, height, width, channels)` in [0, max_value].
      targets: images of the same shape and range.
      max_value: white, a positive Python number.

    Returns:
      `(n,)` float32 without unit, in [0, 1]; equal images give exactly 1.

    Source:
      Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality
      assessment", Asilomar 2003; equal to `tf.image.ssim_multiscale`.
    """
    predictions, targets = require_matching(predictions, targets)
    height, width = predictions.shape[1:3]
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"predictions has shape {predictions.shape}; MS-SSIM needs sides of at "
            f"least {MIN_SIDE} pixels, because its fifth scale is a sixteenth of the "
            f"image and must hold a window of {WINDOW_SIZE} x {WINDOW_SIZE}."
        )
    if not max_value > 0:
        raise ValueError(f"max_value is {max_value}; expected a positive number.")
    similarity = 1.0
    coarsest = len(SCALE_WEIGHTS) - 1
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            predictions, targets = _halve(predictions), _halve(targets)
        contrast, ssim = _contrast_and_ssim(predictions, targets, max_value)
        term = ssim if scale == coarsest else contrast
        similarity = similarity * _positive_power(term, weight)
    return 1.0 - jnp.mean(1.0 - similarity, axis=-1)


def ms_ssim_loss(
    predictions: jax.Array, targets: jax.Array, *, max_value: float = 255.0
) -> jax.Array:
    """One minus the mean multi-scale structural similarity of a batch.

    Args:
      predictions: images `(n, height, width, channels)` in [0, max_value].
      targets: images of the same shape and range.
      max_value: white, a positive Python number.

    Returns:
      Float32 scalar without unit in [0, 1], 0 for equal images.
    """
    return jnp.mean(1.0 - ms_ssim(predictions, targets, max_value=max_value))
