"""Films in numbers: what changes beside the original, edges and colours."""

import functools

import numpy as np
import scipy.ndimage
import skimage.registration

from vgg_unpool_jax.applications.stylization.color_metrics import (
    lab_distance,
    sobel_ssim,
)
from vgg_unpool_jax.applications.stylization.metrics import LUMINANCE
from vgg_unpool_jax.ops.photo_range import check_photo_range


class FlickerMeter:
    """The change of a film's frames beyond that of the original film.

    The mean over pixels, channels and successive frames of max(0, |Δresult| -
    |Δoriginal|). No motion is estimated. An area that changes less than the original
    cannot make up for one that flickers.
    """

    def __init__(self):
        """Begin a film."""
        self._changes, self._last = [], None

    def add(self, frame: np.ndarray, result: np.ndarray) -> None:
        """Take the next frame and its result, both (h, w, 3) in [0, 255]."""
        for name, image in (("frame", frame), ("result", result)):
            check_photo_range(name, image)
        pair = [np.asarray(image, np.float32) for image in (frame, result)]
        if self._last is not None:
            steps = [
                np.abs(new - old) for new, old in zip(pair, self._last, strict=True)
            ]
            excess = np.maximum(steps[1] - steps[0], 0.0)
            self._changes.append(float(excess.mean(dtype=np.float64)))
        self._last = pair

    @property
    def value(self) -> float:
        """Grey levels in [0, 255]; NaN before the second frame."""
        return float(np.mean(self._changes)) if self._changes else float("nan")


class WarpErrorMeter:
    """The change of a film along its motion, beside that of the original film.

    The optical flow of the original's grey brings each frame before to the frame; what
    is left is the mean absolute difference over the pixels at which the original, so
    brought, is within `AGREES` grey levels of itself: elsewhere something comes into
    view, or the flow is wrong. Noise and interpolation leave the original an error of
    its own. The flow is `skimage.registration.optical_flow_tvl1`, which copes better
    with what comes into view than `optical_flow_ilk`, and takes seconds per frame.

    Source: Lai et al., "Learning blind video temporal consistency", 2018, for the
    measure; flow and mask are others, so these numbers cannot be compared with theirs.
    """

    # Grey levels, mean of the channels.
    AGREES = 20.0

    def __init__(self):
        """Begin a film."""
        self._errors, self._last = [], None

    def add(self, frame: np.ndarray, result: np.ndarray) -> None:
        """Take the next frame and its result, both (h, w, 3) in [0, 255]."""
        for name, image in (("frame", frame), ("result", result)):
            check_photo_range(name, image)
        pair = [np.asarray(image, np.float32) for image in (frame, result)]
        if self._last is not None:
            greys = [images[0] @ LUMINANCE / 255 for images in (pair, self._last)]
            flow = skimage.registration.optical_flow_tvl1(*greys, attachment=5)
            at = np.indices(greys[0].shape) + flow
            limits = np.reshape(greys[0].shape, (2, 1, 1)) - 1
            differences = [
                np.abs(new - _warped(old, at)).mean(axis=-1)
                for new, old in zip(pair, self._last, strict=True)
            ]
            seen = ((at >= 0) & (at <= limits)).all(axis=0)
            seen &= differences[0] < self.AGREES
            if seen.any():
                self._errors.append([float(each[seen].mean()) for each in differences])
        self._last = pair

    @property
    def value(self) -> tuple[float, float]:
        """Of the result and of the original, in grey levels; NaN without frames."""
        if not self._errors:
            return float("nan"), float("nan")
        original, result = np.mean(self._errors, axis=0)
        return float(result), float(original)


def _warped(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    channels = np.moveaxis(image, -1, 0)
    warp = functools.partial(scipy.ndimage.map_coordinates, order=1, mode="nearest")
    return np.stack([warp(channel, at) for channel in channels], axis=-1)


class FilmMeter:
    """Warp error, and the means over frames of what photos are measured by."""

    def __init__(self, style_colors: np.ndarray):
        """Begin a film.

        Args:
          style_colors: (m, 3) RGB in [0, 255], drawn from the style.
        """
        self._colors = np.asarray(style_colors).astype(np.uint8)
        self._warp, self._edges, self._distances = WarpErrorMeter(), [], []

    def add(self, frame: np.ndarray, result: np.ndarray) -> None:
        """Take the next frame and its result, both uint8 (h, w, 3)."""
        self._warp.add(frame, result)
        self._edges.append(sobel_ssim(frame, result))
        self._distances.append(lab_distance(result, self._colors))

    def __str__(self):
        """All in one line; see `WarpErrorMeter`, `sobel_ssim` and `lab_distance`."""
        result, film = self._warp.value
        edges, distance = np.mean(self._edges), np.mean(self._distances)
        return (
            f"warp error {result:.3f} grey levels, the film's own {film:.3f}; edges "
            f"(Sobel) {edges:.3f}; colours {distance:.2f}"
        )
