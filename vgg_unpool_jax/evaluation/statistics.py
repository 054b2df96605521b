"""Means over photos and their confidence intervals."""

import dataclasses
import math

import numpy as np
import scipy.special


@dataclasses.dataclass(frozen=True)
class Summary:
    """The mean of a metric over photos.

    Attributes:
      mean: mean over the photos, in the unit of the metric; infinite if one is.
      interval: (low, high), the 95 % confidence interval of the mean; None for one
        photo, and where a value is not finite.
      photos: how many photos were counted.
    """

    mean: float
    interval: tuple[float, float] | None
    photos: int


def summarize(values: np.ndarray) -> Summary:
    """Mean and 95 % confidence interval by Student's t distribution, in float64.

    Args:
      values: (n,), one of each photo, at least one.

    Returns:
      The summary; half the width of its interval is t(0.975, n - 1) · s / sqrt(n),
      where s is the standard deviation with n - 1 in the denominator.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"values has shape {values.shape}; expected (n,) with at least one value"
        )
    photos = values.size
    with np.errstate(invalid="ignore"):
        mean = float(values.mean())
    if photos == 1 or not np.isfinite(values).all():
        return Summary(mean, None, photos)
    deviation = float(values.std(ddof=1))
    # The quantile of Student's t; scipy.stats has it too, but loads for seconds.
    quantile = float(scipy.special.stdtrit(photos - 1, 0.975))
    half = quantile * deviation / math.sqrt(photos)
    return Summary(mean, (mean - half, mean + half), photos)
