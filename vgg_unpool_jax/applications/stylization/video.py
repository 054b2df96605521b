"""Style transfer for films: one look a shot, carried to its frames.

    keyframes of a shot ─ features moved ─ colours matched ─ table of colours
    frame ─ through the table of its shot ─ difference smoothed along its edges

A film is read three times, one frame held at a time: to find its shots, ahead to take
their keyframes, and to write. The network sees keyframes alone, reduced and with the
statistics of all of them together, so that nothing in a shot depends on the frame but
the frame itself. What a table cannot say is what differs between places of one colour.

The smoothings that have no table move the features of every frame by the maps of its
shot.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import numpy as np

from vgg_unpool_jax.applications.resizing import reduce_to_side, resize
from vgg_unpool_jax.applications.stylization.difference_smoothing import (
    add_smoothed_difference,
)
from vgg_unpool_jax.applications.stylization.film_metrics import FlickerMeter
from vgg_unpool_jax.applications.stylization.finishing import transport
from vgg_unpool_jax.applications.stylization.guided_filter import SteadyGuidedFilter
from vgg_unpool_jax.applications.stylization.looks import DEFAULT_LOOK, LOOKS, Look
from vgg_unpool_jax.applications.stylization.lut import apply_lut, fit_lut
from vgg_unpool_jax.applications.stylization.options import DIFFERENCE, GUIDED, LUT
from vgg_unpool_jax.applications.stylization.shots import (
    CUT,
    choose_keyframes,
    contrast,
    find_shots,
    thumbnail,
)
from vgg_unpool_jax.applications.stylization.smoothing import smooth
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.applications.stylization.transfer import FeatureTransfer, Styles
from vgg_unpool_jax.applications.stylization.video_files import Frame
from vgg_unpool_jax.errors import PhotoError, SourceError
from vgg_unpool_jax.ops.moments import Moments, merge_sets

# Keyframes of a shot, and their longer side in pixels.
KEYFRAMES = 4
_SIDE = 320
# Of the tables, see `fit_lut`. Steep tables make noise; without the smoothing behind
# them they have to be calmer.
_SMOOTHNESS = 10.0
_ALONE = 300.0


class VideoStylizer:
    """Stylises one film.

    Attributes:
      positions: the shot of each frame, see `find_shots`; None before the first frame.
      flicker: of the results beside the frames, in grey levels, see `FlickerMeter`.
    """

    def __init__(
        self,
        stylizer: FeatureTransfer,
        styles: Styles,
        *,
        smoothing: str = DIFFERENCE,
        look: Look = LOOKS[DEFAULT_LOOK],
        cut: float = CUT,
        steadiness: float = 8.0,
        alpha: float = 1.0,
        strengths: Mapping[int, float] | None = None,
        max_side: int = 0,
    ):
        """Keep the options.

        Args:
          stylizer: moves the features.
          styles: see `FeatureTransfer.stylize`; measured once, the same for all frames.
          smoothing: one of `stylization.smoothing.SMOOTHINGS`. "difference" and "lut"
            carry a table of colours a shot, the others move the features of each frame.
          look: strengths of the levels; for the tables its smoothing and the match of
            colours, too.
          cut: see `find_shots`; 0 makes one shot of the film.
          steadiness: time constant of the guided filter's fits in frames, see
            `SteadyGuidedFilter`; 0 filters each frame alone.
          alpha: see `FeatureTransfer.stylize`.
          strengths: factors on those of the look.
          max_side: the network sees frames reduced to it; 0 is no limit. Keyframes for
            tables have at most 320 pixels.
        """
        if isinstance(styles, StyleStatistics):
            styles = [(styles, 1.0)]
        self._stylizer, self._styles = stylizer, list(styles)
        self._smoothing, self._look, self._alpha = smoothing, look, alpha
        self._has_table = smoothing in (DIFFERENCE, LUT)
        self._cut, self._max_side = cut or math.inf, max_side
        strengths = look.strengths_at(stylizer.blocks, strengths)
        self._options = {"alpha": alpha, "strengths": strengths}
        self._filter = SteadyGuidedFilter(steadiness)
        self._meter, self.positions = FlickerMeter(), None

    @property
    def cuts(self) -> list[int]:
        """The frames, from 0, at which the film cuts to another shot."""
        return (np.flatnonzero(np.diff(self.positions) >= 1.0) + 1).tolist()

    @property
    def dissolves(self) -> list[tuple[int, int]]:
        """The first and the last frame of each dissolve."""
        mixed = (self.positions % 1 > 0).astype(int)
        edges = np.flatnonzero(np.diff(np.pad(mixed, 1)))
        return [(first, stop - 1) for first, stop in edges.reshape(-1, 2).tolist()]

    @property
    def flicker(self) -> float:
        """See the class."""
        return self._meter.value

    @property
    def style_colors(self) -> np.ndarray:
        """RGB (samples, 3) of the styles in [0, 255]."""
        return np.concatenate([style.whole_colors for style, _ in self._styles])

    def stylize(
        self, read: Callable[[], Iterable[Frame]]
    ) -> Iterator[tuple[Frame, np.ndarray]]:
        """Stylise a film.

        Args:
          read: gives the film's frames in order, from the first at every call, such as
            `Video.frames`. Where it fails, the frames before are stylised.

        Yields:
          Each frame and its result, uint8 of the same shape.
        """
        thumbnails = _thumbnails(read)
        self.positions = find_shots(thumbnails, cut=self._cut)
        looks = self._looks(read, contrast(thumbnails))
        found, cuts = [], set(self.cuts)
        numbered = enumerate(zip(read(), self.positions, strict=True))
        for number, (frame, position) in numbered:
            shot, share = int(position), float(position % 1)
            while len(found) <= math.ceil(position):
                found.append(next(looks))
            found[:shot] = [None] * shot
            look = found[shot]
            if share:
                look = jax.tree.map(
                    lambda a, b, share=share: (1 - share) * a + share * b,
                    *found[shot : shot + 2],
                )
            if number in cuts:
                self._filter.begin_scene()
            result = self._apply(look, frame.pixels)
            result = np.rint(np.clip(np.asarray(result), 0.0, 255.0)).astype(np.uint8)
            self._meter.add(frame.pixels, result)
            yield frame, result

    def _looks(self, read, contrasts) -> Iterator:
        """The table of each shot, or the moments of its keyframes by block."""
        frames = enumerate(read())
        side = self._max_side
        if self._has_table:
            side = min(side or _SIDE, _SIDE)
        for shot in range(int(self.positions.max()) + 1):
            chosen = choose_keyframes(self.positions, contrasts, shot, KEYFRAMES)
            keyframes = {}
            while len(keyframes) < len(set(chosen.tolist())):
                number, frame = next(frames)
                if number in chosen:
                    keyframes[number] = reduce_to_side(frame.pixels, side)
            # Short shots have some twice: one number of photos, one compilation.
            photos = np.stack([keyframes[number] for number in chosen])
            photos = photos.astype(np.float32)
            moments = {}

            def merge(block, measured, moments=moments):
                moments[block] = merge_sets(_first_region(measured))
                return _of_each(moments[block], len(measured.count))

            images = self._stylizer.stylize(
                photos, self._styles, adjust=merge, **self._options
            )
            yield self._table(photos, images) if self._has_table else moments

    def _table(self, photos, images) -> np.ndarray:
        """The table whose smoothed differences bring the colours near the style's."""
        sheet = photos.reshape(-1, *photos.shape[2:])
        matchings = [self._stylizer.match(None, style) for style, _ in self._styles]
        table = fit_lut(
            sheet,
            np.clip(images.reshape(sheet.shape), 0.0, 255.0),
            smoothness=_SMOOTHNESS,
        )
        for _ in range(self._look.rounds):
            result = self._through(table, photos).reshape(sheet.shape)
            wanted = transport(
                result, self._styles, None, matchings, slope=self._look.slope
            )
            change = self._alpha * (np.clip(wanted, 0.0, 255.0) - result)
            mapped = np.clip(apply_lut(table, sheet) + change, 0.0, 255.0)
            table = fit_lut(sheet, mapped, smoothness=_SMOOTHNESS)
        if self._smoothing == LUT:
            result = self._through(table, photos).reshape(sheet.shape)
            table = fit_lut(sheet, result, smoothness=_ALONE)
        return table

    def _through(self, table, photos) -> np.ndarray:
        results = [self._smoothed(photo, apply_lut(table, photo)) for photo in photos]
        return np.clip(np.stack(results), 0.0, 255.0)

    def _smoothed(self, frame, image) -> np.ndarray:
        radius = self._look.radius * max(frame.shape[:2])
        return add_smoothed_difference(
            frame, image, radius=radius, sigma=self._look.sigma
        )

    def _apply(self, look, frame) -> np.ndarray:
        if self._has_table:
            image = apply_lut(look, frame)
            return image if self._smoothing == LUT else self._smoothed(frame, image)
        image = self._stylizer.stylize(
            reduce_to_side(frame, self._max_side),
            self._styles,
            adjust=lambda block, measured: _of_each(look[block], len(measured.count)),
            **self._options,
        )
        image = resize(image, frame.shape[:2])
        if self._smoothing == GUIDED:
            return self._filter(frame, image)
        return smooth(self._smoothing, frame, image)


def _thumbnails(read) -> np.ndarray:
    found = []
    try:
        for frame in read():
            found.append(thumbnail(frame.pixels))
    except (PhotoError, SourceError):
        # Raised again where the frames before have been stylised.
        if not found:
            raise
    return np.stack(found)


def _first_region(moments: Moments) -> Moments:
    """Moments (n, ...) of the only region of n photos."""
    return Moments(*(np.asarray(array)[:, 0] for array in moments))


def _of_each(moments: Moments, count: int) -> Moments:
    """The same moments (1, ...) for each of n photos, (n, 1, ...)."""
    return Moments(*(np.broadcast_to(a, (count, *a.shape)) for a in moments))
