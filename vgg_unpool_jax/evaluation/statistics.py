"""Means over photos that can be added up across batches and processes."""

import dataclasses
import math
from collections.abc import Mapping

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


@dataclasses.dataclass(frozen=True)
class Sums:
    """Count, sum and sum of squares of values; `+` adds two of them."""

    photos: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.photos + other.photos,
            self.total + other.total,
            self.squares + other.squares,
        )

    def summary(self) -> Summary:
        """Mean and 95 % confidence interval by Student's t distribution.

        Returns:
          The summary; half the width of its interval is t(0.975, n - 1) · s / sqrt(n),
          where s is the standard deviation with n - 1 in the denominator.
        """
        if self.photos == 0:
            raise ValueError("No photo was counted, so there is no mean.")
        mean = self.total / self.photos
        if self.photos == 1 or not math.isfinite(self.squares):
            return Summary(mean, None, self.photos)
        freedom = self.photos - 1
        # Equal values can leave a negative remainder of rounding.
        variance = max(0.0, (self.squares - self.total * mean) / freedom)
        # The quantile of Student's t; scipy.stats has it too, but loads for seconds.
        half = scipy.special.stdtrit(freedom, 0.975) * math.sqrt(variance / self.photos)
        return Summary(mean, (mean - float(half), mean + float(half)), self.photos)


class MetricSums:
    """Sums of metrics over photos, in float64 on the host.

    Each metric has its own count: one that a batch of small photos lacks is averaged
    over the photos that have it.
    """

    def __init__(self, sums: Mapping[str, Sums] | None = None):
        self._sums = dict(sums or {})

    def update(
        self,
        values: Mapping[str, np.ndarray],
        mask: np.ndarray | None = None,
    ) -> None:
        """Count a batch.

        Args:
          values: `(n,)` per metric, as from `compute_photo_metrics`.
          mask: `(n,)` bool, False for padding, whose values are never looked at; None
            counts all.
        """
        if mask is not None:
            mask = np.asarray(mask)
            if mask.ndim != 1 or mask.dtype != np.bool_:
                raise ValueError(
                    f"mask has shape {mask.shape} and dtype {mask.dtype}; wanted "
                    "(n,) and bool."
                )
        for name, metric in values.items():
            metric = np.asarray(metric, np.float64)
            if metric.ndim != 1 or (mask is not None and metric.shape != mask.shape):
                wanted = "(n,)" if mask is None else f"{mask.shape} like the mask"
                raise ValueError(
                    f"values[{name!r}] has shape {metric.shape}; wanted {wanted}."
                )
            counted = metric if mask is None else metric[mask]
            if counted.size:
                batch = Sums(
                    int(counted.size),
                    float(np.sum(counted)),
                    float(np.sum(np.square(counted))),
                )
                self._sums[name] = self._sums.get(name, Sums()) + batch

    def merge(self, other: "MetricSums") -> "MetricSums":
        """The sums over the photos of both, as if counted by one."""
        names = self._sums.keys() | other._sums.keys()
        return MetricSums(
            {
                name: self._sums.get(name, Sums()) + other._sums.get(name, Sums())
                for name in names
            }
        )

    def summary(self) -> dict[str, Summary]:
        """Mean, interval and count of each metric.

        Returns:
          A summary for each metric with at least one counted photo.
        """
        if not self._sums:
            raise ValueError("No photo was counted, so there is nothing to average.")
        return {name: sums.summary() for name, sums in self._sums.items()}

    def to_dict(self) -> dict[str, list[float]]:
        """[photos, total, squares] per metric: what one process hands to another."""
        return {
            name: [sums.photos, sums.total, sums.squares]
            for name, sums in self._sums.items()
        }

    @classmethod
    def from_dict(cls, sums: Mapping[str, list[float]]) -> "MetricSums":
        """The inverse of `to_dict`.

        Args:
          sums: [photos, total, squares] per metric.

        Returns:
          The sums; adding to them continues where `to_dict` was called.
        """
        restored = {}
        for name, entry in sums.items():
            if len(entry) != 3 or entry[0] != int(entry[0]) or entry[0] < 1:
                raise ValueError(
                    f"sums[{name!r}] is {entry!r}; wanted [photos, total, squares] "
                    "with at least one photo."
                )
            photos, total, squares = entry
            restored[name] = Sums(int(photos), float(total), float(squares))
        return cls(restored)
