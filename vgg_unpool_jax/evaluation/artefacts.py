"""Position and sign of errors: borders, colour casts, pixel grids.

A mean over all pixels hides these artefacts. Zero padding of a deep decoder affects the
borders; upsampling can leave a grid with the period of its strides, 2 to 16 for VGG19's
pools.

Images are NHWC RGB in [0, 255]. The border is the frame of the outer 16 pixels, the
centre is the rest. For photos with a side below 48 pixels the centre is too small:
border, centre and grid are left out for them.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.evaluation.metrics import MetricInfo
from vgg_unpool_jax.losses.checks import require_matching

BORDER = 16  # width of the frame in pixels
MIN_SIDE = 3 * BORDER
PERIODS = (2, 4, 8, 16)
# Names of the colour errors among the metrics, in the order of the channels.
COLOR_ERRORS = ("color_error_red", "color_error_green", "color_error_blue")

ARTEFACT_METRICS = {
    "border_l1": MetricInfo("border L1", "grey levels", 3, False, (0.0, 255.0)),
    "center_l1": MetricInfo("centre L1", "grey levels", 3, False, (0.0, 255.0)),
    "color_error_red": MetricInfo("red error", "grey levels", 3, None, (-255.0, 255.0)),
    "color_error_green": MetricInfo(
        "green error", "grey levels", 3, None, (-255.0, 255.0)
    ),
    "color_error_blue": MetricInfo(
        "blue error", "grey levels", 3, None, (-255.0, 255.0)
    ),
}

_WHITE = 255.0
_LONGEST = PERIODS[-1]


def photo_border_l1(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean absolute difference of each photo in the frame of its outer 16 pixels.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255], both sides at
        least 48 pixels.
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 in grey levels, in [0, 255].
    """
    error = _absolute_error(predictions, targets)
    _, height, width, _ = error.shape
    inside = ((BORDER, BORDER), (BORDER, BORDER))
    shape = (height - 2 * BORDER, width - 2 * BORDER)
    # A mask and not a difference of two sums, which would cost digits.
    frame = 1.0 - jnp.pad(jnp.ones(shape, jnp.float32), inside)
    by_pixel = jnp.mean(error, axis=3)
    pixels = height * width - shape[0] * shape[1]
    return jnp.sum(by_pixel * frame[None], axis=(1, 2)) / pixels


def photo_center_l1(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean absolute difference of each photo without its outer 16 pixels.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255], both sides at
        least 48 pixels.
      targets: images of the same shape and range.

    Returns:
      `(n,)` float32 in grey levels, in [0, 255].
    """
    error = _absolute_error(predictions, targets)
    return jnp.mean(_center(error), axis=(1, 2, 3))


def photo_color_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean signed difference, prediction minus target, of each channel.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255].
      targets: images of the same shape and range.

    Returns:
      `(n, channels)` float32 in grey levels, in [-255, 255]; positive where the
      prediction is too bright.
    """
    predictions, targets = require_matching(predictions, targets)
    return jnp.mean(predictions - targets, axis=(1, 2))


def photo_phase_errors(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Sums of absolute differences by pixel position modulo 16.

    Only the centre counts: the outermost rows and columns always have the same phases,
    so that errors of the border would look like a grid.

    Args:
      predictions: images `(n, height, width, channels)` in [0, 255], both sides at
        least 48 pixels.
      targets: images of the same shape and range.

    Returns:
      `(n, 16, 16)` float32: at [i, y, x] the sum over the pixels of photo i at rows
      y + 16·j and columns x + 16·k of the crop, of the mean over channels in grey
      levels. `phase_counts` has the number of these pixels.
    """
    # The frame is one period wide, so the phases of the centre start at 0.
    error = jnp.mean(_center(_absolute_error(predictions, targets)), axis=3)
    n, height, width = error.shape
    down, right = (-side % _LONGEST for side in (height, width))
    error = jnp.pad(error, ((0, 0), (0, down), (0, right)))
    rows, columns = (side // _LONGEST for side in error.shape[1:])
    return error.reshape(n, rows, _LONGEST, columns, _LONGEST).sum(axis=(1, 3))


def phase_counts(height: int, width: int) -> np.ndarray:
    """Number of pixels that `photo_phase_errors` adds.

    Args:
      height: height of the photos in pixels, at least 48.
      width: width of the photos in pixels, at least 48.

    Returns:
      `(16, 16)` int64, all positive.
    """
    rows, columns = (
        np.bincount(np.arange(side - 2 * BORDER) % _LONGEST, minlength=_LONGEST)
        for side in (height, width)
    )
    return np.outer(rows, columns)


def compute_artefacts(
    predictions: jax.Array, targets: jax.Array
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """All measures of this module, after clipping the predictions to [0, 255].

    Works under `jax.jit`: the names of the results depend only on the shape.

    Args:
      predictions: RGB images `(n, height, width, 3)`, any range, any real dtype.
      targets: images of the same shape in [0, 255].

    Returns:
      metrics: `(n,)` float32 for "border_l1", "center_l1" and each of `COLOR_ERRORS`;
        below 48 pixels the colour errors alone.
      phases: "phase_errors" and "phase_counts", `(n, 16, 16)` each, see
        `photo_phase_errors` and `phase_counts`; empty below 48 pixels.
    """
    predictions, targets = require_matching(predictions, targets)
    if predictions.shape[3] != len(COLOR_ERRORS):
        raise ValueError(
            f"predictions has shape {predictions.shape}; expected (n, height, width, "
            "3)."
        )
    predictions = jnp.clip(predictions, 0.0, _WHITE)
    colors = photo_color_error(predictions, targets)
    metrics = {name: colors[:, i] for i, name in enumerate(COLOR_ERRORS)}
    if missing_artefacts(*predictions.shape[1:3]):
        return metrics, {}
    metrics["border_l1"] = photo_border_l1(predictions, targets)
    metrics["center_l1"] = photo_center_l1(predictions, targets)
    errors = photo_phase_errors(predictions, targets)
    counts = jnp.asarray(phase_counts(*predictions.shape[1:3]), jnp.int32)
    counts = jnp.broadcast_to(counts, errors.shape)
    return metrics, {"phase_errors": errors, "phase_counts": counts}


def missing_artefacts(height: int, width: int) -> str:
    """Why photos of a size have no border, centre and grid, "" where they have."""
    if min(height, width) >= MIN_SIDE:
        return ""
    return (
        f"Border, centre and grid are left out at {height} x {width} pixels: they need "
        f"sides of at least {MIN_SIDE} pixels, so that a centre is left."
    )


def ratio(larger: float, smaller: float) -> float:
    """Of two errors; 1 where neither is an error, infinite where the second is none."""
    if smaller == 0.0:
        return 1.0 if larger == 0.0 else math.inf
    return larger / smaller


def grid_ratios(collected: Mapping[str, np.ndarray]) -> dict[int, float]:
    """How uneven the error is over the phases of a pixel grid, by its period.

    The ratio of period p is that of the largest to the smallest mean absolute error
    among the p × p phases: 1 without a grid, infinite where a phase has no error at
    all. No grid is not exactly 1: chance makes it larger, the more so the longer the
    period and the fewer the pixels, and so do the 8 × 8 blocks of JPEG in the photos.
    A pair of block 1, which has no pool, shows how much on the same photos: 1.001,
    1.044, 1.085 and 1.102 for the four periods on centre 256² crops of COCO128.

    Args:
      collected: "phase_errors" and "phase_counts", (photos, 16, 16) each, from
        `compute_artefacts`.

    Returns:
      A ratio for each period of `PERIODS`; empty without such arrays.

    Source:
      Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", 2016,
      describe the artefact; the measure is ours.
    """
    if "phase_errors" not in collected:
        return {}
    totals = collected["phase_errors"].sum(axis=0, dtype=np.float64)
    counts = collected["phase_counts"].sum(axis=0, dtype=np.int64)
    found = {}
    for period in PERIODS:
        means = _fold(totals, period) / _fold(counts, period)
        found[period] = ratio(float(means.max()), float(means.min()))
    return found


def _fold(phases: np.ndarray, period: int) -> np.ndarray:
    """Sums by position modulo a divisor of 16, `(period, period)`."""
    repeats = _LONGEST // period
    return phases.reshape(repeats, period, repeats, period).sum(axis=(0, 2))


def _absolute_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    predictions, targets = require_matching(predictions, targets)
    if min(predictions.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"predictions has shape {predictions.shape}; border and centre need sides "
            f"of at least {MIN_SIDE} pixels."
        )
    return jnp.abs(predictions - targets)


def _center(images: jax.Array) -> jax.Array:
    return images[:, BORDER:-BORDER, BORDER:-BORDER]
