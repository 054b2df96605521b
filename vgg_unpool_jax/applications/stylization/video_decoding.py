"""The frames of a video file as a player shows them, and what was damaged in it.

What the file says of its frames is applied: the colour matrix and range, primaries and
transfer curves (HDR is reduced to BT.709), the shape of the pixels, interlacing, and
the turn or mirror of the display matrix. ffmpeg's filters do all but the last.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.errors import PhotoError, SourceError, first_line

# Numbers of H.273, which are ffmpeg's: colour matrices, primaries, transfer curves.
_RGB, _BT709, _UNSPECIFIED, _SMPTE170M, _BT2020 = 0, 1, 2, 6, 9
_MATRICES = (_BT709, 4, 5, _SMPTE170M, 7, _BT2020)  # that ffmpeg converts
# Players show these values as they are, also on sRGB displays; others are converted.
_SDR_PRIMARIES = (_BT709, _UNSPECIFIED, 5, 6, 7, 22)
_SDR_CURVES = (_BT709, _UNSPECIFIED, 4, 5, 6, 7, 11, 12, 13, 14, 15)

_SCALE = (
    "flags=bicubic+accurate_rnd+full_chroma_int:out_primaries=bt709:out_transfer=bt709"
)


class _Description(NamedTuple):
    """What a frame says of itself, its colours as numbers of H.273."""

    width: int
    height: int
    kind: str
    matrix: int
    full_range: int
    primaries: int
    curve: int
    display: tuple[int, ...]
    interlaced: bool


class DecodedFrame(NamedTuple):
    """One frame.

    Attributes:
      time: in seconds, later than that of the frame before.
      pixels: uint8 (h, w, 3) RGB with square pixels.
    """

    time: Fraction
    pixels: np.ndarray


def decode_frames(av, container, stream, rate: Fraction) -> Iterator[DecodedFrame]:
    """Decode a video stream to its end, also past damaged places, as players do.

    Args:
      av: the module.
      container: of the stream, as opened.
      stream: of video.
      rate: frames a second, for frames without a time.

    Raises:
      SourceError: after the last frame, if frames are missing or broken.
      PhotoError: the colours or the display matrix cannot be converted.
    """
    # Threads that outlive a call could wait for Python's lock with a message, and be
    # waited for.
    stream.thread_type = "SLICE"
    damage = _Damage(av)
    decoded = damage.survive(_decoded(av, container, stream))
    described = ((_describe(av, container.name, frame), frame) for frame in decoded)
    shape = stream.sample_aspect_ratio or Fraction(1)
    last = None
    for description, group in itertools.groupby(_deinterlaced(described), _first):
        frames = (frame for _, frame in group)
        for frame in _converted(av, container.name, frames, description, shape):
            time = Fraction(0) if last is None else last + 1 / rate
            if frame.pts is not None:
                shown = frame.pts * frame.time_base
                time = shown if last is None or shown > last else time
            last = damage.last = time
            pixels = frame.to_ndarray(format="rgb24")
            yield DecodedFrame(time, _turned(container.name, pixels, description))
    if damage.reason is not None and last is not None:
        duration = container.duration and container.duration / av.time_base
        of = f" of {duration:.2f} s" if duration else ""
        raise SourceError(
            f"{container.name} is cut or damaged: near {float(damage.first or 0):.2f} s"
            f"{of} frames are missing or broken ({damage.reason}); the last that could "
            f"be read is at {float(last):.2f} s"
        )


class _Damage:
    """Counts what ffmpeg reports while it reads: cut files end without an exception.

    Attributes:
      last: time of the last frame that was shown.
      first: time of the last frame before the first damage.
      reason: ffmpeg's first report, None if there was none.
    """

    def __init__(self, av):
        self._log = av.logging
        self.last = self.first = self.reason = None

    def survive(self, steps) -> Iterator:
        """The frames of `_decoded`, watched while each is made."""
        while True:
            # Without a level PyAV counts no errors.
            level = self._log.get_level()
            if level is None:
                self._log.set_level(self._log.FATAL)
            before, _ = self._log.get_last_error()
            try:
                found = next(steps, None)
            finally:
                after, error = self._log.get_last_error()
                self._log.set_level(level)
            if after > before and self.reason is None:
                self.first, self.reason = self.last, error[2].strip(" .\n")
            if found is None:
                return
            corrupt, frames = found
            for frame in frames:
                if (corrupt or frame.is_corrupt) and self.reason is None:
                    self.first, self.reason = self.last, "marked as corrupt"
                yield frame


def _decoded(av, container, stream):
    """The frames of each packet, and whether its bytes are known to be wrong."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            packet = None
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = []
        yield packet.is_corrupt, frames


def _first(pair):
    return pair[0]


def _describe(av, name, frame) -> _Description:
    side_data = {part.type.name: bytes(part) for part in frame.side_data}
    matrix, curve = int(frame.colorspace), int(frame.color_trc)
    if frame.format.is_rgb:
        matrix = _RGB
    elif matrix == _UNSPECIFIED:
        # As players guess.
        is_hd = frame.width >= 1280 or frame.height > 576
        matrix = _BT709 if is_hd else _SMPTE170M
        if "DOVI_METADATA" in side_data and curve == _UNSPECIFIED:
            raise PhotoError(
                f"{name} is Dolby Vision without a picture for other players, which "
                "cannot be converted"
            )
    elif matrix not in _MATRICES:
        raise PhotoError(
            f"{name} has the colour matrix {matrix} of H.273, which cannot be converted"
        )
    primaries = int(frame.color_primaries)
    return _Description(
        frame.width,
        frame.height,
        frame.format.name,
        matrix,
        int(frame.color_range),
        _BT709 if primaries in _SDR_PRIMARIES else primaries,
        _BT709 if curve in _SDR_CURVES else curve,
        tuple(np.frombuffer(side_data.get("DISPLAYMATRIX", b""), np.int32).tolist()),
        bool(frame.interlaced_frame),
    )


def _deinterlaced(described):
    """Descriptions that stay interlaced once they are: fields of films alternate."""
    interlaced = False
    for description, frame in described:
        interlaced |= description.interlaced
        yield description._replace(interlaced=interlaced), frame


def _converted(av, name, frames, description, shape):
    """Frames of one description as RGB in BT.709, with square pixels."""
    width, height = description.width, description.height
    # No pixel is lost: the shorter side of a pixel is what is stretched.
    if shape > 1:
        width = round(width * shape)
    else:
        height = round(height / shape)
    # Tone mapping is a part of the perceptual intent.
    intent = "relative_colorimetric" if description.curve == _BT709 else "perceptual"
    chain = [
        ("scale", f"{width}:{height}:{_SCALE}:intent={intent}"),
        ("format", "rgb24"),
        ("buffersink", None),
    ]
    if description.interlaced:
        chain.insert(0, ("bwdif", "mode=send_frame:deint=interlaced"))
    graph = None
    for frame in itertools.chain(frames, [None]):
        if frame is not None:
            frame.colorspace, frame.color_trc = description.matrix, description.curve
            frame.color_primaries = description.primaries
        try:
            if graph is None:
                graph = _graph(av, frame, chain)
            graph.push(frame)
            shown = list(_pulled(av, graph))
        except av.error.FFmpegError as error:
            raise PhotoError(
                f"the colours of {name} cannot be converted: {first_line(error)}"
            ) from error
        yield from shown


def _graph(av, frame, chain):
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=str(frame.time_base),
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    graph.link_nodes(source, *(graph.add(*part) for part in chain)).configure()
    return graph


def _pulled(av, graph):
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _turned(name, pixels, description) -> np.ndarray:
    """Apply a display matrix: pixel (x, y) is shown at (a x + c y, b x + d y)."""
    if not description.display:
        return pixels
    a, b, _, c, d = description.display[:5]
    kept, crossed = abs(a) + abs(d), abs(b) + abs(c)
    if min(kept, crossed) > 0.02 * max(kept, crossed):
        raise PhotoError(
            f"the display matrix of {name} turns by {np.degrees(np.arctan2(b, a)):.0f} "
            "degrees: only quarter turns and mirrors can be applied"
        )
    if crossed > kept:
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(pixels)
