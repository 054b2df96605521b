"""Style transfer for films: a fixed style, and results that stay steady over time.

Frame by frame, noise and small movements change the fits of the guided filter and the
moments of the content, and with them the colours of the whole result. Both can be
averaged over the last frames. Where the film cuts to another scene the averages begin
again.
"""

import math
from collections.abc import Mapping

import jax
import numpy as np

from vgg_unpool_jax.applications.resizing import reduce_to_side, resize
from vgg_unpool_jax.applications.stylization.guided_filter import SteadyGuidedFilter
from vgg_unpool_jax.applications.stylization.metrics import FlickerMeter
from vgg_unpool_jax.applications.stylization.smoothing import smooth
from vgg_unpool_jax.applications.stylization.transfer import FeatureTransfer, Styles
from vgg_unpool_jax.ops.moments import Moments, merge_sets, to_float32

# Frames of one scene jumped by less, frames of other photos by more; docs/video.md.
CUT = 0.15


class VideoStylizer:
    """Stylises the frames of one film in order, one at a time.

    Attributes:
      cuts: the frames, from 0, in which a new scene began.
      flicker: of the results beside the frames, in grey levels, see `FlickerMeter`.
    """

    def __init__(
        self,
        stylizer: FeatureTransfer,
        styles: Styles,
        *,
        steadiness: float = 8.0,
        moment_steadiness: float = 0.0,
        cut: float = CUT,
        smoothing: str = "guided",
        alpha: float = 1.0,
        strengths: Mapping[int, float] | None = None,
        max_side: int = 0,
    ):
        """Begin a film.

        Args:
          stylizer: moves the features.
          styles: see `FeatureTransfer.stylize`; measured once, the same for all frames.
          steadiness: time constant of the guided filter's fits in frames, see
            `SteadyGuidedFilter`; 0 filters each frame alone, as other smoothings do.
          moment_steadiness: that of the content's statistics, see `SteadyMoments`.
          cut: see `SteadyMoments`; 0 finds no cuts.
          smoothing: one of `stylization.smoothing.SMOOTHINGS`, within each frame.
          alpha: see `FeatureTransfer.stylize`.
          strengths: see `FeatureTransfer.stylize`.
          max_side: larger frames are reduced to it for all steps but the smoothing; 0
            is no limit.
        """
        self._stylizer, self._styles = stylizer, styles
        self._moments = SteadyMoments(moment_steadiness, cut=cut or math.inf)
        self._filter = SteadyGuidedFilter(steadiness)
        self._smoothing, self._max_side = smoothing, max_side
        self._options = {"alpha": alpha, "strengths": strengths}
        self._meter = FlickerMeter()

    @property
    def cuts(self) -> list[int]:
        """See the class."""
        return self._moments.cuts

    @property
    def flicker(self) -> float:
        """See the class."""
        return self._meter.value

    def stylize(self, frame: np.ndarray) -> np.ndarray:
        """Stylise the next frame.

        Args:
          frame: uint8 (h, w, 3) RGB, of the size of those before.

        Returns:
          uint8 of the same shape.
        """
        cuts = len(self.cuts)
        result = self._stylizer.stylize(
            reduce_to_side(frame, self._max_side),
            self._styles,
            adjust=self._moments,
            **self._options,
        )
        result = resize(result, frame.shape[:2])
        if self._smoothing == "guided":
            if len(self.cuts) > cuts:
                self._filter.begin_scene()
            result = self._filter(frame, result)
        else:
            result = smooth(self._smoothing, frame, result)
        result = np.rint(np.clip(np.asarray(result), 0.0, 255.0)).astype(np.uint8)
        self._meter.add(frame, result)
        return result


class SteadyMoments:
    """Moments averaged over time, for `adjust` of `FeatureTransfer.stylize`.

    Frame s of a scene counts in frame t >= s by exp(-(t - s) / time_constant), divided
    by the sum of these factors: the first frame of a scene is used as it is, and later
    it counts no more than its age says. Mean and covariance are averaged separately, so
    that a drift of the mean does not widen the covariance. A region counts in the
    frames in which it has cells.

    A scene begins where the moments of the first block of a frame (the coarsest) jump:

        |mean_t - mean_{t-1}|² > cut² · ½ (tr cov_t + tr cov_{t-1})

    with the moments as measured, of all regions together. A slow change is never a cut.
    The other blocks follow the first. Nothing is random; the same frames in batches of
    other sizes give the same moments.

    Attributes:
      frames: number of frames so far.
      cuts: the frames, from 0, in which a new scene began; the first is not one.
      jumps: of the last batch, |mean_t - mean_{t-1}| over the root of the mean trace.
    """

    def __init__(self, time_constant: float, *, cut: float = CUT):
        """Begin a film.

        Args:
          time_constant: in frames, from 0 on; 0 averages nothing.
          cut: the jump beyond which a scene begins; math.inf is never.
        """
        if not 0 <= time_constant < math.inf or not cut > 0:
            raise ValueError(
                f"time_constant must be a number of frames from 0 on and cut above 0, "
                f"got {time_constant!r} and {cut!r}"
            )
        self._keep = math.exp(-1 / time_constant) if time_constant else 0.0
        self._cut = cut
        self._scenes: dict[int, Moments] = {}
        self._first, self._last, self._begins = None, None, []
        self.frames, self.cuts, self.jumps = 0, [], []

    def __call__(self, block: int, moments: Moments) -> Moments:
        """Average the moments of the next frames.

        Args:
          block: in the same order for every batch of frames.
          moments: (n, r, ...) of n frames in order.

        Returns:
          Moments (n, r, ...), float32; the counts as they came.
        """
        moments = Moments(*(np.asarray(array, np.float64) for array in moments))
        frames = [
            jax.tree.map(lambda array, i=i: array[i], moments)
            for i in range(len(moments.count))
        ]
        if self._first is None:
            self._first = block
        if block == self._first:
            self._find_cuts(frames)
        averages = [
            self._average(block, frame, begins)
            for frame, begins in zip(frames, self._begins, strict=True)
        ]
        return to_float32(jax.tree.map(lambda *arrays: np.stack(arrays), *averages))

    def _average(self, block: int, frame: Moments, begins: bool) -> Moments:
        """Moments with this frame; zeros for regions without cells so far."""
        here = (frame.count > 0).astype(np.float64)
        sums = Moments(
            here, here[:, None] * frame.mean, here[:, None, None] * frame.covariance
        )
        if block in self._scenes and not begins:
            sums = jax.tree.map(
                lambda old, new: self._keep * old + new, self._scenes[block], sums
            )
        self._scenes[block] = sums
        total = np.where(sums.count > 0, sums.count, 1.0)
        return Moments(
            frame.count,
            sums.mean / total[:, None],
            sums.covariance / total[:, None, None],
        )

    def _find_cuts(self, frames: list[Moments]) -> None:
        self._begins, self.jumps = [], []
        for frame in frames:
            whole = merge_sets(frame)
            jump = 0.0 if self._last is None else _jump(self._last, whole)
            begins = jump > self._cut
            if begins:
                self.cuts.append(self.frames)
            self._begins.append(begins)
            self.jumps.append(jump)
            self._last = whole
            self.frames += 1


def _jump(before: Moments, after: Moments) -> float:
    distance = float(((after.mean - before.mean) ** 2).sum())
    spread = float(np.trace(before.covariance[0] + after.covariance[0])) / 2
    if spread > 0:
        return math.sqrt(distance / spread)
    return math.inf if distance else 0.0
