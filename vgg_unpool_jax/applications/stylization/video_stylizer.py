"""Style transfer for films: a fixed style, and content statistics steady over time."""

import math
from collections.abc import Mapping

import numpy as np

from vgg_unpool_jax.applications.stylization.cascade import Styles, Stylizer
from vgg_unpool_jax.applications.stylization.flicker_meter import FlickerMeter
from vgg_unpool_jax.applications.stylization.resizing import (
    enlarge_to_size,
    reduce_to_side,
)
from vgg_unpool_jax.applications.stylization.smoothing import smooth
from vgg_unpool_jax.applications.stylization.steady_guided_filter import (
    SteadyGuidedFilter,
)
from vgg_unpool_jax.applications.stylization.temporal import CUT, SteadyMoments


class VideoStylizer:
    """Stylises the frames of one film in order, one at a time.

    Attributes:
      cuts: the frames, from 0, in which a new scene began.
      flicker: of the results beside the frames, in grey levels, see `FlickerMeter`.
    """

    def __init__(
        self,
        stylizer: Stylizer,
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
          stylizer: to do the work.
          styles: see `Stylizer.stylize`; measured once, the same for all frames.
          steadiness: time constant of the guided filter's fits in frames, see
            `SteadyGuidedFilter`; 0 takes each frame alone, as the other smoothings do.
          moment_steadiness: that of the content's statistics, see `SteadyMoments`.
          cut: see `SteadyMoments`; 0 finds no cuts.
          smoothing: one of `stylization.smoothing.SMOOTHINGS`, within each frame.
          alpha: see `Stylizer.stylize`.
          strengths: see `Stylizer.stylize`.
          max_side: larger frames are reduced to it for all but the smoothing; 0 is no
            limit.
        """
        self._stylizer, self._styles = stylizer, styles
        self._steady = SteadyMoments(moment_steadiness, cut=cut or math.inf)
        self._filter = SteadyGuidedFilter(steadiness)
        self._smoothing, self._max_side = smoothing, max_side
        self._options = {"alpha": alpha, "strengths": strengths}
        self._meter = FlickerMeter()

    @property
    def cuts(self) -> list[int]:
        """See the class."""
        return self._steady.cuts

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
        reduced = reduce_to_side(frame, self._max_side)
        cuts = len(self.cuts)
        result = self._stylizer.stylize(
            reduced, self._styles, adjust=self._steady, **self._options
        )
        result = enlarge_to_size(result, *frame.shape[:2])
        if self._smoothing == "guided":
            if len(self.cuts) > cuts:
                self._filter.begin_scene()
            result = np.asarray(self._filter(frame, result))
        else:
            result = np.asarray(smooth(self._smoothing, frame, result))
        result = np.rint(np.clip(result, 0.0, 255.0)).astype(np.uint8)
        self._meter.add(frame, result)
        return result
