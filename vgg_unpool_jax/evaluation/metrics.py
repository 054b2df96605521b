"""How close reconstructed photos are to the originals, one value per photo.

Images are NHWC RGB in [0, 255]; predictions are clipped to that range before anything
is measured, because that is what a saved picture shows.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from vgg_unpool_jax.losses import MIN_SIDE, WINDOW_SIZE, local_mean, ms_ssim
from vgg_unpool_jax.losses.checks import require_matching
from vgg_unpool_jax.ops.photo_range import any_range, check_photo_range

_WHITE = 255.0


@dataclasses.dataclass(frozen=True)
class MetricInfo:
    """Name, unit and direction of a metric, and the format of its values.

    Attributes:
      title: name for a table.
      unit: unit of the value, "" for a pure number.
      decimals: digits after the point that are worth printing.
      larger_is_better: which direction is good; None where neither is.
      bounds: smallest and largest possible value.
    """

    title: str
    unit: str
    decimals: int
    larger_is_better: bool | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)


METRICS = {
    "l1": MetricInfo("L1", "grey levels", 3, False, (0.0, _WHITE)),
    "l2": MetricInfo("L2", "grey levels²", 2, False, (0.0, _WHITE**2)),
    "psnr": MetricInfo("PSNR", "dB", 2, True, (0.0, math.inf)),
    "ssim": MetricInfo("SSIM", "", 4, True, (-1.0, 1.0)),
    "ms_ssim": MetricInfo("MS-SSIM", "", 4, True, (0.0, 1.0)),
}

# Of `evaluation/perceptual.py`, where their weights are.
PERCEPTUAL_METRICS = {
    "lpips": MetricInfo("LPIPS", "", 4, False, (0.0, math.inf)),
    "lpips_vgg": MetricInfo("LPIPS-VGG", "", 4, False, (0.0, math.inf)),
    "dists": MetricInfo("DISTS", "", 4, False, (0.0, math.inf)),
}


def _dm_pix():
    # Takes a quarter of a second, which commands without metrics need not wait.
    import dm_pix

    return dm_pix


def _matching_photos(predictions, targets) -> tuple[jax.Array, jax.Array]:
    """Both as float32, after a check of shapes and ranges."""
    for name, photos in (("predictions", predictions), ("targets", targets)):
        check_photo_range(name, photos)
    return require_matching(predictions, targets)


def photo_l1(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean absolute difference of each photo.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 in grey levels, in [0, 255].
    """
    predictions, targets = _matching_photos(predictions, targets)
    return _dm_pix().mae(predictions, targets)


def photo_l2(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean squared difference of each photo.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 in squared grey levels, in [0, 255²].
    """
    predictions, targets = _matching_photos(predictions, targets)
    return _dm_pix().mse(predictions, targets)


def photo_psnr(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio of each photo, with peak 255.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 in dB, at least 0; infinite where a photo equals its target.
    """
    predictions, targets = _matching_photos(predictions, targets)
    return _dm_pix().psnr(predictions / _WHITE, targets / _WHITE)


def photo_ssim(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Structural similarity of each photo, the mean over its pixels and channels.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 without unit, in [-1, 1]; 1 where a photo equals its target.

    Source:
      Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error
      visibility to structural similarity", 2004; equal to `tf.image.ssim`.
    """
    predictions, targets = _matching_photos(predictions, targets)
    if min(predictions.shape[1:3]) < WINDOW_SIZE:
        raise ValueError(
            f"predictions has shape {predictions.shape}; SSIM needs sides of at least "
            f"{WINDOW_SIZE} pixels, the size of its window."
        )
    # The filter is the library's own window, three times faster on the CPU.
    return _dm_pix().ssim(predictions / _WHITE, targets / _WHITE, filter_fn=local_mean)


def photo_ms_ssim(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Multi-scale structural similarity of each photo.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 without unit, in [0, 1]; 1 where a photo equals its target.
    """
    return ms_ssim(predictions, targets, max_value=_WHITE)


def missing_metrics(height: int, width: int) -> dict[str, str]:
    """The metrics that photos of a size are too small for.

    Args:
      height: height of the photos in pixels.
      width: width of the photos in pixels.

    Returns:
      For each metric that `compute_photo_metrics` leaves out at this size, the reason
      in one sentence; empty from 176 × 176 pixels on.
    """
    wanted = {
        "ssim": (WINDOW_SIZE, "the size of its window"),
        "ms_ssim": (MIN_SIDE, "so that its window fits into the fifth scale"),
    }
    return {
        name: f"{METRICS[name].title} is left out at {height} x {width} pixels: it "
        f"needs sides of at least {side} pixels, {reason}."
        for name, (side, reason) in wanted.items()
        if min(height, width) < side
    }


def compute_photo_metrics(
    predictions: jax.Array, targets: jax.Array
) -> dict[str, jax.Array]:
    """All metrics of a batch of photos, after clipping the predictions to [0, 255].

    Works under `jax.jit`: which keys come back depends on the shape alone.

    Args:
      predictions: images `(n, height, width, channels)`, any range, any real dtype.
      targets: images of the same shape in [0, 255].

    Returns:
      `(n,)` float32 for each of the keys of `METRICS`, without those that
      `missing_metrics` names with a reason for this size.
    """
    check_photo_range("targets", targets)
    predictions, targets = require_matching(predictions, targets)
    predictions = jnp.clip(predictions, 0.0, _WHITE)
    functions = {
        "l1": photo_l1,
        "l2": photo_l2,
        "psnr": photo_psnr,
        "ssim": photo_ssim,
        "ms_ssim": photo_ms_ssim,
    }
    left_out = missing_metrics(*predictions.shape[1:3])
    with any_range():  # predictions may be anything
        return {
            name: function(predictions, targets)
            for name, function in functions.items()
            if name not in left_out
        }
