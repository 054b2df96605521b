"""Videos frame by frame: folders of pictures, and video files by PyAV.

One frame is held at a time, however long the film. Video files keep the time of each
frame, also where the rate varies, and their sound: its packets are copied as they are.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from PIL import Image

from vgg_unpool_jax.applications.stylization.video_decoding import decode_frames
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.folder import is_photo_name
from vgg_unpool_jax.errors import ConfigError, PhotoError, SourceError, first_line
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs, names_file, output_folder

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
RATE = Fraction(25)

# Ticks a second, which all usual rates divide or nearly so.
_CLOCK = 90000
_BT709 = 1  # of ffmpeg's colour spaces; also of its primaries and transfer curves
_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture of a film.

    Attributes:
      name: for a file of its own, without an extension.
      time: in seconds from the beginning of the film.
      pixels: uint8 (h, w, 3) RGB.
    """

    name: str
    time: Fraction
    pixels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Video:
    """A film to read.

    Attributes:
      path: its file or folder.
      is_file: whether it is a file.
      rate: frames a second, on average.
      count: number of frames; 0 if the file does not record it.
      names: of the files in a folder.
    """

    path: pathlib.Path
    is_file: bool
    rate: Fraction
    count: int
    _frames: Callable[[], Iterator[Frame]]
    names: tuple[str, ...] = ()

    def frames(self) -> Iterator[Frame]:
        """All frames in order, from the first."""
        size = None
        for frame in self._frames():
            size = size or frame.pixels.shape
            if frame.pixels.shape != size:
                raise PhotoError(
                    f"{self.path}: the frame {frame.name} has {_size(frame.pixels)} "
                    f"pixels, those before have {size[1]} x {size[0]}"
                )
            yield frame


def open_video(path: str | os.PathLike, *, rate: Fraction | float = RATE) -> Video:
    """Open a film.

    Args:
      path: a video file, or a folder of pictures, which are taken in the order of
        their names with numbers as numbers (`2.png` before `10.png`). Folders in it are
        left out.
      rate: frames a second of a folder; video files have their own.
    """
    path = paths.to_path(path)
    if path.is_dir():
        names = [p.name for p in path.iterdir() if p.is_file()]
        names = sorted(filter(is_photo_name, names), key=_in_order)
        if not names:
            raise SourceError(f"there are no pictures in the folder {path}")
        stems = {pathlib.PurePath(name).stem for name in names}
        if len(stems) < len(names):
            raise SourceError(
                f"two pictures in {path} differ in the extension alone: which is the "
                "frame?"
            )
        rate = Fraction(rate).limit_denominator(100000)
        if rate <= 0:
            raise SourceError(f"the rate of {path} must be above 0, got {rate}")
        read = functools.partial(_folder_frames, path, names, rate)
        return Video(path, False, rate, len(names), read, tuple(names))
    if not path.is_file():
        raise SourceError(f"there is no video or folder {path}")
    with _opened(path) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate or RATE
        count = stream.frames
    return Video(path, True, Fraction(rate), count, lambda: _file_frames(path))


def output_files(
    path: str | os.PathLike, video: Video
) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Files that `writing_video` will write, and those of the film, for a check.

    Args:
      path: the output.
      video: the film.

    Returns:
      The output, or the frames in its folder, of a film in a file those that exist
      already; and the film, or the frames of its folder.
    """
    reads = [video.path]
    if not is_folder(path):
        path = paths.to_path(path)
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise SourceError(
                f"the output {path} must end in one of {', '.join(VIDEO_SUFFIXES)}, or "
                "be a folder, whose name has no extension or ends with a slash"
            )
        return [path], reads
    folder = output_folder(path)
    if video.is_file:
        return list(folder.glob("frame_[0-9]*.png")), reads
    stems = [pathlib.PurePath(name).stem for name in video.names]
    reads = [video.path / name for name in video.names]
    return [folder / f"{stem}.png" for stem in stems], reads


def is_folder(path: str | os.PathLike) -> bool:
    """Whether an output is a folder of frames, by what is there and by its name."""
    return paths.to_path(path).is_dir() or not names_file(path)


@contextlib.contextmanager
def writing_video(
    path: str | os.PathLike,
    video: Video,
    *,
    quality: int = 18,
    sound: bool = True,
) -> Iterator[Callable[[Frame], None]]:
    """Write a film: into a file, or each frame into a folder as PNG.

    A file is H.264 in 4:2:0 and BT.709, and takes its name only when it is complete.
    Odd sides become even: the last row or column is repeated. In a folder every frame
    is whole or not there; those that are there already are replaced, others stay.

    Args:
      path: ending in one of `VIDEO_SUFFIXES`, or a folder.
      video: the film that it is made of, which gives rate and sound.
      quality: of H.264, the constant rate factor: 0 is the best, 51 the worst.
      sound: keep the first track; a folder has none.

    Yields:
      A function that writes the next frame.
    """
    check_outputs(*output_files(path, video))
    folder = is_folder(path)
    path = paths.to_path(path)
    if folder:
        yield functools.partial(_write_picture, path)
        return
    suffix = path.suffix.lower()
    av = _import_av(path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(replacing(path))
        output = stack.enter_context(_closing(av, file, _FORMATS[suffix], path))
        track = (
            _Sound(video.path, output, path, stack) if sound and _heard(video) else None
        )
        writer = _Writer(av, output, video.rate, quality, track, path)
        yield writer.add
        writer.finish()


@contextlib.contextmanager
def _closing(av, file, kind, path):
    """A container to write, which is closed whatever happens."""
    container = av.open(file, "w", format=kind)
    try:
        yield container
    except BaseException:
        # Half a film cannot always be closed, and is thrown away: what went wrong
        # before is what counts.
        with contextlib.suppress(av.error.FFmpegError):
            container.close()
        raise
    with _fitting(path):
        container.close()


@contextlib.contextmanager
def _fitting(path):
    """Say in a sentence that a format cannot hold what it was given."""
    try:
        yield
    except ValueError as error:  # as PyAV's are; those of the system are OSErrors
        raise ConfigError(
            f"{path} cannot hold this film ({error}): write .mkv, or leave the sound "
            "out"
        ) from error


class _Writer:
    """Encodes frames, and lets the sound keep pace."""

    def __init__(self, av, output, rate, quality, track, path):
        self._av, self._output, self._track, self._path = av, output, track, path
        self._rate, self._quality = rate, quality
        self._stream = None

    def add(self, frame: Frame) -> None:
        pixels = frame.pixels
        odd = [(0, side % 2) for side in pixels.shape[:2]]
        pixels = np.pad(pixels, (*odd, (0, 0)), mode="edge")
        if self._stream is None:
            self._begin(*pixels.shape[:2])
        picture = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        picture = picture.reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        picture.pts = round(frame.time * _CLOCK)
        picture.time_base = Fraction(1, _CLOCK)
        with _fitting(self._path):
            if self._track is not None:
                self._track.until(frame.time)
            self._output.mux(self._stream.encode(picture))

    def _begin(self, height, width) -> None:
        self._stream = self._output.add_stream("libx264", rate=self._rate)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, _CLOCK)
        self._stream.options = {"crf": str(self._quality)}
        context = self._stream.codec_context
        context.time_base = Fraction(1, _CLOCK)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1
        if self._track is not None:
            self._track.begin()

    def finish(self) -> None:
        with _fitting(self._path):
            if self._stream is not None:
                self._output.mux(self._stream.encode())
                if self._track is not None:
                    self._track.until(None)


class _Sound:
    """The packets of a film's first track of sound."""

    def __init__(self, source, output, path, stack):
        self._container, _ = stack.enter_context(_opened(source))
        self._output, self._path = output, path
        self._errors, self._waiting = _import_av(path).error.FFmpegError, None

    def begin(self) -> None:
        stream = self._container.streams.audio[0]
        with _fitting(self._path):
            self._target = self._output.add_stream_from_template(stream)
        self._packets = self._readable(stream)
        self._waiting = next(self._packets, None)

    def _readable(self, stream):
        """Packets in the order of their times, as far as the file is readable."""
        last = None
        with contextlib.suppress(self._errors):
            for packet in self._container.demux(stream):
                if packet.dts is not None and (last is None or packet.dts > last):
                    last = packet.dts
                    yield packet

    def until(self, time: Fraction | None) -> None:
        """Write what is heard up to a time, None is all."""
        while self._waiting is not None and (
            time is None or self._waiting.dts * self._waiting.time_base <= time
        ):
            self._waiting.stream = self._target
            self._output.mux(self._waiting)
            self._waiting = next(self._packets, None)


def _heard(video: Video) -> bool:
    if not video.is_file:
        return False
    with _opened(video.path) as (container, _):
        return bool(container.streams.audio)


def _import_av(path):
    try:
        import av
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: video files need PyAV, which is not installed: pip install av, "
            "or use folders of pictures"
        ) from error
    return av


@contextlib.contextmanager
def _opened(path):
    """A container and its video stream."""
    av = _import_av(path)
    try:
        container = av.open(str(path))
    except av.error.InvalidDataError as error:
        raise SourceError(f"{path} is no video, or is damaged") from error
    except av.error.FFmpegError as error:
        reason = error.strerror or first_line(error)
        raise SourceError(f"{path} cannot be read: {reason}") from error
    with container:
        # Not the picture of a cover, if there is a film.
        stream = container.streams.best("video")
        if stream is None:
            raise SourceError(f"{path} has no pictures, it is no video")
        yield container, stream


def _file_frames(path) -> Iterator[Frame]:
    with _opened(path) as (container, stream):
        rate = Fraction(stream.average_rate or stream.guessed_rate or RATE)
        index = 0
        frames = decode_frames(_import_av(path), container, stream, rate)
        for index, frame in enumerate(frames, start=1):
            yield Frame(f"frame_{index:06d}", frame.time, frame.pixels)
        if not index:
            raise SourceError(f"{path} has no frames")


def _folder_frames(folder, names, rate) -> Iterator[Frame]:
    for index, name in enumerate(names):
        pixels = decode_photo(folder / name, str(folder / name), tell_alpha=not index)
        yield Frame(pathlib.PurePath(name).stem, index / rate, pixels)


def _write_picture(folder, frame: Frame) -> None:
    with replacing(folder / f"{frame.name}.png") as file:
        Image.fromarray(frame.pixels).save(file, format="PNG")


def _in_order(name: str) -> tuple:
    parts = re.split(r"(\d+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _size(pixels) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"
