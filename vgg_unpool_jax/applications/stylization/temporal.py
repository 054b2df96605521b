"""Content statistics that stay steady over the frames of a video.

Frame by frame, noise and small movements change the moments of the content, and with
them the colours of the whole result. Here they are averaged over the last frames. Where
the film cuts to another scene the average begins anew.
"""

import math

import numpy as np

from vgg_unpool_jax.applications.stylization.moments import Moments

# Between what pans and passing things gave and what other photos gave; docs/video.md.
CUT = 0.15


class SteadyMoments:
    """Moments averaged over time, to be passed as `adjust` to `Stylizer.stylize`.

    Frame s of a scene counts in frame t >= s by exp(-(t - s) / time_constant), the
    weights divided by their sum: the first frame of a scene is taken as it is, and
    later it counts no more than its age says. Mean and covariance are averaged apart,
    so that a drift of the mean does not widen the covariance. A region counts in the
    frames in which it has places.

    A scene begins where the moments of the first block of a frame (the coarsest) jump:

        |mean_t - mean_{t-1}|² > cut² · ½ (tr cov_t + tr cov_{t-1})

    with the moments as measured, of all regions together. What changes slowly never is
    a cut. The other blocks follow the first. Nothing is random; the same frames in
    batches of other sizes give the same.

    Attributes:
      frames: number of frames so far.
      cuts: the frames, from 0, in which a new scene began; the first is not one.
      jumps: the root of the left side over the right without cut², for the last batch.
    """

    def __init__(self, time_constant: float, *, cut: float = CUT):
        """Begin a film.

        Args:
          time_constant: in frames, from 0 on; 0 averages nothing.
          cut: the jump beyond which a scene begins; math.inf is never.
        """
        if not 0 <= time_constant < math.inf:
            raise ValueError(
                f"time_constant must be a number of frames from 0 on, got "
                f"{time_constant!r}"
            )
        if not cut > 0:
            raise ValueError(f"cut must be above 0, got {cut!r}")
        self._keep = math.exp(-1 / time_constant) if time_constant else 0.0
        self._cut = cut
        self._scenes: dict[int, _Scene] = {}
        self._first, self._last, self._begins = None, None, []
        self.frames, self.cuts, self.jumps = 0, [], []

    def __call__(self, block: int, moments: Moments) -> Moments:
        """Average the moments of the next frames.

        Args:
          block: the level, in the same order for every batch of frames.
          moments: (n, r, ...) of n frames in order.

        Returns:
          Moments (n, r, ...), float32; the weights as they came.
        """
        moments = Moments(*(np.asarray(array, np.float64) for array in moments))
        _check(moments)
        if self._first is None:
            self._first = block
        if block == self._first:
            self._find_cuts(moments)
        if len(moments.weight) != len(self._begins):
            raise ValueError(
                f"moments of block {block} must be of {len(self._begins)} frames as "
                f"those of block {self._first}, got {len(moments.weight)}"
            )
        means, covariances = [], []
        for index, begins in enumerate(self._begins):
            if begins or block not in self._scenes:
                self._scenes[block] = _Scene(self._keep)
            frame = Moments(*(array[index] for array in moments))
            mean, covariance = self._scenes[block].add(frame)
            means.append(mean)
            covariances.append(covariance)
        arrays = moments.weight, np.stack(means), np.stack(covariances)
        return Moments(*(np.asarray(array, np.float32) for array in arrays))

    def _find_cuts(self, moments: Moments) -> None:
        self._begins, self.jumps = [], []
        for index in range(len(moments.weight)):
            frame = _summary(Moments(*(array[index] for array in moments)))
            jump = 0.0 if self._last is None else _jump(self._last, frame)
            begins = jump > self._cut
            if begins:
                self.cuts.append(self.frames)
            self._begins.append(begins)
            self.jumps.append(jump)
            self._last = frame
            self.frames += 1


class _Scene:
    """Weighted sums over the frames of one scene at one level, region by region."""

    def __init__(self, keep: float):
        self._keep = keep
        self._total = self._mean = self._covariance = 0.0

    def add(self, frame: Moments) -> tuple[np.ndarray, np.ndarray]:
        """The averages, this frame included; those of the frame where none are."""
        here = (frame.weight > 0).astype(np.float64)
        self._total = self._keep * self._total + here
        self._mean = self._keep * self._mean + here[:, None] * frame.mean
        self._covariance = (
            self._keep * self._covariance + here[:, None, None] * frame.covariance
        )
        total = np.where(self._total > 0, self._total, 1.0)
        return self._mean / total[:, None], self._covariance / total[:, None, None]


def _summary(frame: Moments) -> tuple[np.ndarray, float]:
    """Mean (c,) of all regions together and the trace of their covariance."""
    shares = frame.weight / max(frame.weight.sum(), 1e-12)
    mean = shares @ frame.mean
    within = shares @ np.trace(frame.covariance, axis1=1, axis2=2)
    return mean, float(within + shares @ ((frame.mean - mean) ** 2).sum(axis=1))


def _jump(before, after) -> float:
    distance = float(((after[0] - before[0]) ** 2).sum())
    spread = (before[1] + after[1]) / 2
    if spread > 0:
        return math.sqrt(distance / spread)
    return math.inf if distance else 0.0


def _check(moments: Moments) -> None:
    weight, mean, covariance = (array.shape for array in moments)
    if (
        len(weight) != 2
        or mean[:-1] != weight
        or covariance != (*mean, *mean[-1:])
        or 0 in mean
    ):
        raise ValueError(
            "moments must have the shapes (n, r), (n, r, c) and (n, r, c, c), got "
            f"{weight}, {mean} and {covariance}"
        )
