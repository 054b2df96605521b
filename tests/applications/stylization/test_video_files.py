"""Films from folders and files: order, times, colours, sound, what is no film."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.applications.stylization.video_files import (
    open_video,
    writing_video,
)
from vgg_unpool_jax.errors import ConfigError, PhotoError, SourceError


def _folder(path, count=5, size=(48, 64), names="{}.png"):
    """Flat frames whose red channel tells their number."""
    path.mkdir()
    for index in range(count):
        pixels = np.full((*size, 3), (40 * index, 90, 200), np.uint8)
        Image.fromarray(pixels).save(path / names.format(index))
    return path


def _write(path, video, **options):
    with writing_video(path, video, **options) as write:
        for frame in video.frames():
            write(frame)


def _film(path, times, *, sound=None, size=(32, 48), noise=0, options=None):
    """A video file made by PyAV alone, with frames at these times in ms."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w", options=options or {}) as output:
        stream = output.add_stream("libx264", rate=25)
        stream.height, stream.width = size
        stream.pix_fmt, stream.options = "yuv420p", {"g": "12"}
        stream.codec_context.time_base = Fraction(1, 1000)
        random = np.random.default_rng(0)
        track = output.add_stream(sound, rate=8000) if sound else None
        for time in times:
            pixels = np.full((*size, 3), min(255, time // 4), np.uint8)
            pixels += random.integers(0, noise + 1, pixels.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if track is not None:
            wave = np.sin(np.arange(8000) / 9)[None]
            samples = (9000 * wave).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, 0
            frame.time_base = Fraction(1, 8000)
            output.mux(track.encode(frame))
            output.mux(track.encode())
    return path


def _sound(path):
    """The bytes of the packets of the first track."""
    import av

    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.size]


def test_a_folder_is_read_by_number_and_one_by_one(tmp_path):
    folder = _folder(tmp_path / "in", 3)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "10.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".1.png").write_bytes(b"hidden")
    video = open_video(folder, rate=10)
    assert (video.count, video.rate, video.is_file) == (4, 10, False)
    frames = video.frames()
    assert next(frames).pixels[0, 0].tolist() == [0, 90, 200]
    (folder / "1.png").write_bytes(b"")  # not read before its turn
    with pytest.raises(PhotoError, match=r"1\.png is empty"):
        next(frames)
    _folder(tmp_path / "again", 3)
    (folder / "1.png").write_bytes((tmp_path / "again/1.png").read_bytes())
    found = list(video.frames())
    assert [frame.name for frame in found] == ["0", "1", "2", "10"]
    assert found[3].time == Fraction(3, 10)


def test_a_folder_is_written_as_it_was_read(tmp_path):
    video = open_video(_folder(tmp_path / "in", size=(33, 47), names="f{:03}.png"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "f000.png").write_bytes(b"of an interrupted run")
    _write(tmp_path / "out", video)
    again = open_video(tmp_path / "out")
    for first, second in zip(video.frames(), again.frames(), strict=True):
        assert first.name == second.name
        np.testing.assert_array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_file_keeps_rate_number_and_colours(tmp_path, suffix):
    pytest.importorskip("av", reason="PyAV is not installed")
    rate = Fraction(30000, 1001)
    video = open_video(_folder(tmp_path / "in", 6), rate=rate)
    _write(tmp_path / f"film{suffix}", video)
    film = open_video(tmp_path / f"film{suffix}")
    assert film.is_file and abs(film.rate / rate - 1) < 1e-3
    frames = list(film.frames())
    assert [frame.name for frame in frames] == [f"frame_{i:06}" for i in range(1, 7)]
    for index, (frame, wanted) in enumerate(zip(frames, video.frames(), strict=True)):
        assert abs(frame.time - index / rate) < Fraction(1, 900)
        # H.264 and two conversions of colour; a wrong matrix is off by 20.
        assert np.abs(frame.pixels.astype(int) - wanted.pixels).max() <= 4
    assert not list(tmp_path.glob(".*"))


def test_odd_sides_become_even_by_repeating_the_last(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    video = open_video(_folder(tmp_path / "in", 2, size=(33, 47)))
    _write(tmp_path / "film.mp4", video)
    last = list(open_video(tmp_path / "film.mp4").frames())[-1].pixels
    assert last.shape == (34, 48, 3)
    assert np.abs(last.astype(int) - (40, 90, 200)).max() <= 4


def test_times_and_sound_of_a_file_are_kept(tmp_path):
    times = [0, 40, 80, 400, 440, 900]  # the rate varies
    source = _film(tmp_path / "in.mkv", times, sound="aac")
    _write(tmp_path / "out.mp4", open_video(source))
    found = list(open_video(tmp_path / "out.mp4").frames())
    assert [round(1000 * frame.time) for frame in found] == times
    before, after = _sound(source), _sound(tmp_path / "out.mp4")
    assert [data for _, data in after] == [data for _, data in before]
    assert all(abs(a - b) < 0.002 for (a, _), (b, _) in zip(after, before, strict=True))
    _write(tmp_path / "silent.mp4", open_video(source), sound=False)
    with pytest.raises(IndexError):
        _sound(tmp_path / "silent.mp4")


def test_sound_that_a_file_cannot_hold_is_a_sentence(tmp_path):
    source = _film(tmp_path / "in.mkv", [0, 40], sound="pcm_s16le")
    with pytest.raises(ConfigError, match=r"out\.mp4 cannot hold this film .*\.mkv"):
        _write(tmp_path / "out.mp4", open_video(source))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]
    _write(tmp_path / "out.mkv", open_video(source))
    assert [d for _, d in _sound(tmp_path / "out.mkv")] == [
        d for _, d in _sound(source)
    ]


def test_an_interrupted_file_leaves_nothing_and_keeps_what_was(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    video = open_video(_folder(tmp_path / "in"))
    (tmp_path / "film.mp4").write_bytes(b"before")
    with (
        pytest.raises(KeyboardInterrupt),
        writing_video(tmp_path / "film.mp4", video) as w,
    ):
        w(next(video.frames()))
        raise KeyboardInterrupt
    assert (tmp_path / "film.mp4").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "in"]


def test_a_file_without_film_is_a_sentence(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    (tmp_path / "text.mp4").write_bytes(b"a letter" * 99)
    with pytest.raises(SourceError, match=r"text\.mp4 is no video"):
        open_video(tmp_path / "text.mp4")


def test_a_damaged_file_does_not_end_in_silence(tmp_path):
    whole = _film(tmp_path / "in.mp4", range(0, 2000, 40)).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"cut\.mp4"):
        list(open_video(cut).frames())


_TIMES = range(0, 4000, 40)


def _read(path):
    """Times of the frames in milliseconds, and what is said behind the last."""
    times = []
    with pytest.raises(SourceError) as caught:
        times.extend(round(1000 * f.time) for f in open_video(path).frames())
    return times, str(caught.value)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_cut_film_is_read_to_its_end_and_then_said_to_be_cut(tmp_path, suffix):
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    film = _film(tmp_path / f"cut{suffix}", _TIMES, noise=90, options=options)
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) * 6 // 10])
    times, said = _read(film)
    assert 20 <= len(times) < 95 and times == list(range(0, 40 * len(times), 40))
    assert "cut or damaged" in said and f"at {times[-1] / 1000:.2f} s" in said
    assert suffix == ".mp4" or "of 4.00 s" in said


@pytest.mark.parametrize("damage", ["zeros", "noise", "bits"])
def test_behind_a_damaged_place_a_film_is_read_on(tmp_path, damage):
    film = _film(tmp_path / "film.mkv", _TIMES, noise=90)
    data = bytearray(film.read_bytes())
    random = np.random.default_rng(0)
    middle = slice(len(data) // 2, len(data) * 6 // 10)
    length = middle.stop - middle.start
    if damage == "bits":
        for place in random.integers(middle.start, middle.stop, 10):
            data[place] ^= 85
    else:
        data[middle] = bytes(length) if damage == "zeros" else random.bytes(length)
    film.write_bytes(data)
    times, said = _read(film)
    assert times[-1] >= 3900 and len(times) >= 70 and times == sorted(set(times))
    assert "cut or damaged: near " in said


def test_the_sound_of_a_damaged_film_is_kept_as_far_as_it_goes(tmp_path):
    film = _film(tmp_path / "film.mkv", _TIMES, noise=90, sound="aac")
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) * 7 // 10])
    with writing_video(tmp_path / "out.mp4", video := open_video(film)) as write:
        with pytest.raises(SourceError, match="cut or damaged"):
            for frame in video.frames():
                write(frame)
    assert 60 < len(list(open_video(tmp_path / "out.mp4").frames())) < 80
    assert _sound(tmp_path / "out.mp4")


def test_without_pyav_a_file_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"PyAV, which is not installed: pip install"):
        open_video(tmp_path / "film.mp4")
    video = open_video(_folder(tmp_path / "in"))
    with pytest.raises(ConfigError, match="PyAV"):
        _write(tmp_path / "out.mp4", video)
    _write(tmp_path / "out", video)
