"""Flicker of a film that is too long to be held."""

import numpy as np

from vgg_unpool_jax.applications.stylization.metrics import temporal_flicker


class FlickerMeter:
    """`temporal_flicker` of frames that come one by one; it keeps two of them.

    Attributes:
      frames: number of frames so far.
    """

    def __init__(self):
        """Begin a film."""
        self.frames = 0
        self._sum, self._last = 0.0, None

    def add(self, frame: np.ndarray, result: np.ndarray) -> None:
        """Take the next frame and what was made of it, both (h, w, 3) in [0, 255]."""
        frame, result = np.asarray(frame), np.asarray(result)
        if self._last is not None:
            pairs = zip(self._last, (frame, result), strict=True)
            self._sum += temporal_flicker(*(np.stack(pair) for pair in pairs))
        self._last = frame, result
        self.frames += 1

    @property
    def value(self) -> float:
        """Grey levels in [0, 255]; NaN before the second frame."""
        return self._sum / (self.frames - 1) if self.frames > 1 else float("nan")
