"""Means over photos and their confidence intervals."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

# Student's t needs values that are about normal, which fewer cannot show.
LEAST_PHOTOS = 8
TOO_FEW = "too few photos"


@dataclasses.dataclass(frozen=True)
class Summary:
    """The mean of a metric over photos.

    Attributes:
      mean: mean over the photos, in the unit of the metric; infinite if one is.
      interval: (low, high), the 95 % confidence interval of the mean; None for fewer
        than `LEAST_PHOTOS`, and where a value is not finite.
      photos: how many photos were counted.
    """

    mean: float
    interval: tuple[float, float] | None
    photos: int


def summarize(
    values: np.ndarray, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Summary:
    """Mean and 95 % confidence interval by Student's t distribution, in float64.

    Args:
      values: (n,), one of each photo, at least one.
      bounds: the range of the metric, which limits the interval.

    Returns:
      The summary; half the width of its interval is t(0.975, n - 1) · s / sqrt(n),
      where s is the standard deviation with n - 1 in the denominator. What would lie
      outside the bounds is cut off.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"values has shape {values.shape}; expected (n,) with at least one value"
        )
    photos = values.size
    with np.errstate(invalid="ignore"):
        mean = float(values.mean())
    if photos < LEAST_PHOTOS or not np.isfinite(values).all():
        return Summary(mean, None, photos)
    deviation = float(values.std(ddof=1))
    # Imported here, since every command would pay for it. The quantile of Student's t;
    # scipy.stats has it too, but loads for seconds.
    import scipy.special

    quantile = float(scipy.special.stdtrit(photos - 1, 0.975))
    half = quantile * deviation / math.sqrt(photos)
    lowest, highest = bounds
    return Summary(mean, (max(mean - half, lowest), min(mean + half, highest)), photos)


def paired_differences(
    ours: Mapping[str, Mapping[str, float]], theirs: Mapping[str, Mapping[str, float]]
) -> dict[str, Summary]:
    """Mean differences of the metrics of two models over the photos of both.

    How hard photos are is the same for both and drops out, so that far smaller
    differences can be told from chance than by two separate intervals.

    Args:
      ours: photo -> metric -> value.
      theirs: the same of the other model, which is subtracted.
    """
    rows: dict[str, list[float]] = {}
    for photo in ours.keys() & theirs.keys():
        for name in ours[photo].keys() & theirs[photo].keys():
            # A result file writes infinity and NaN as strings.
            values = float(ours[photo][name]), float(theirs[photo][name])
            difference = 0.0 if values[0] == values[1] else values[0] - values[1]
            rows.setdefault(name, []).append(difference)
    return {name: summarize(np.asarray(rows[name])) for name in sorted(rows)}


def interval_text(
    interval: Sequence[float | str] | None,
    photos: int | None,
    decimals: int,
    between: str = " to ",
) -> str:
    """An interval for a table, also one of a result file that an older version wrote.

    Args:
      interval: (low, high) or None.
      photos: how many there were; None is unknown.
      decimals: digits after the point.
      between: text between the ends.

    Returns:
      Both ends, `TOO_FEW`, or "" where there is none for another reason.
    """
    if photos is not None and photos < LEAST_PHOTOS:
        return TOO_FEW
    if not interval:
        return ""
    # A result file writes infinity and NaN as strings.
    return between.join(f"{float(end):.{decimals}f}" for end in interval)
