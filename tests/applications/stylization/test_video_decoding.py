"""Frames of files as a player shows them, against what was encoded and by formula."""

from fractions import Fraction

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization.video_files import open_video
from vgg_unpool_jax.errors import PhotoError

av = pytest.importorskip("av", reason="PyAV is not installed")

# Of H.273: matrix, primaries, transfer curve.
_BT709, _BT601, _BT2020 = (1, 1, 1), (6, 6, 6), (9, 9, 14)
_PQ, _HLG = (9, 9, 16), (9, 9, 18)
_UNSPECIFIED = (2, 2, 2)
_COLOURS = np.array(
    [[[200, 40, 40], [40, 180, 60]], [[60, 60, 200], [230, 220, 90]]], np.uint8
)
_PICTURE = _COLOURS.repeat(48, axis=0).repeat(64, axis=1)


def _frame(pixels, kind, matrix, limited):
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return frame.reformat(
        format=kind,
        dst_colorspace={1: "ITU709", 6: "SMPTE170M", 9: "BT2020"}.get(matrix),
        dst_color_range="MPEG" if limited else "JPEG",
    )


def _planes(codes):
    """A 10-bit frame, a column of 16 pixels for each (Y, Cb, Cr)."""
    frame = av.VideoFrame(16 * len(codes), 64, "yuv444p10le")
    for plane, values in zip(frame.planes, np.transpose(codes), strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = np.repeat(values, 16)
        plane.update(rows.tobytes())
    return frame


def _write(
    path,
    frame,
    colours=_BT709,
    *,
    codec="ffv1",
    limited=True,
    shape=None,
    display=None,
    options=None,
    before=None,
):
    """A film of `before` and `frame`, described by the stream and by each frame."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height = frame.width, frame.height
        stream.pix_fmt, stream.options = frame.format.name, options or {}
        context = stream.codec_context
        context.sample_aspect_ratio = shape or Fraction(1)
        if display:
            a, b, c, d = (round(65536 * number) for number in display)
            stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for target in (context, frame):
            target.colorspace, target.color_primaries, target.color_trc = colours
            target.color_range = 1 if limited else 2
        for index, shown in enumerate((before or frame, frame)):
            shown.pts, shown.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(shown))
        output.mux(stream.encode())
    return path


def _shown(path):
    frames = list(open_video(path).frames())
    assert len(frames) == 2
    return frames[-1].pixels


def _assert_quadrants(pixels, colours, within=4):
    height, width = (side // 4 for side in pixels.shape[:2])
    found = pixels[height :: 2 * height, width :: 2 * width][:2, :2]
    np.testing.assert_allclose(found.astype(int), colours, atol=within)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("shape", "size"), [((4, 3), (96, 171)), ((8, 9), (108, 128))])
def test_pixels_become_square_and_none_is_lost(tmp_path, suffix, shape, size):
    frame = _frame(_PICTURE, "yuv420p", 1, True)
    film = tmp_path / f"film{suffix}"
    _write(film, frame, codec="libx264", shape=Fraction(*shape))
    pixels = _shown(film)
    assert pixels.shape == (*size, 3)
    _assert_quadrants(pixels, _COLOURS)


@pytest.mark.parametrize(
    ("display", "wanted"),
    [
        ((-1, 0, 0, 1), _COLOURS[:, ::-1]),
        ((1, 0, 0, -1), _COLOURS[::-1]),
        ((-1, 0, 0, -1), _COLOURS[::-1, ::-1]),
        ((0, 1, -1, 0), np.rot90(_COLOURS, -1)),
        ((0, -1, 1, 0), np.rot90(_COLOURS, 1)),
        ((0, 1, 1, 0), _COLOURS.swapaxes(0, 1)),
        ((0, -1, -1, 0), np.rot90(_COLOURS, 2).swapaxes(0, 1)),
    ],
    ids=["mirror", "flip", "half", "right", "left", "transpose", "transverse"],
)
def test_turns_and_mirrors_are_applied_behind_the_shape(tmp_path, display, wanted):
    frame, film = _frame(_PICTURE, "yuv420p", 1, True), tmp_path / "film.mp4"
    options = {"codec": "libx264", "display": display, "shape": Fraction(4, 3)}
    pixels = _shown(_write(film, frame, **options))
    assert pixels.shape == ((171, 96, 3) if display[0] == 0 else (96, 171, 3))
    _assert_quadrants(pixels, wanted)


@pytest.mark.parametrize("limited", [True, False], ids=["limited", "full"])
@pytest.mark.parametrize("colours", [_BT709, _BT601, (9, 1, 1)])
def test_matrix_and_range_are_those_of_the_file(tmp_path, colours, limited):
    frame = _frame(_PICTURE, "yuv444p", colours[0], limited)
    film = _write(tmp_path / "film.mkv", frame, colours, limited=limited)
    _assert_quadrants(_shown(film), _COLOURS, within=3)


def test_an_unnamed_matrix_is_that_of_the_size(tmp_path):
    for times, matrix in ((1, 6), (7, 1)):
        frame = _frame(_PICTURE.repeat(times, axis=0), "yuv444p", matrix, True)
        film = _write(tmp_path / "film.mkv", frame, _UNSPECIFIED)
        _assert_quadrants(_shown(film), _COLOURS, within=3)


@pytest.mark.extended
def test_wide_primaries_become_those_of_bt709(tmp_path):
    colours = np.array(
        [[[180, 150, 150], [128, 110, 140]], [[255] * 3, [110, 125, 100]]]
    )
    picture = colours.astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    frame = _frame(picture, "yuv444p", 9, True)
    # ITU-R BT.2407, annex 2: linear BT.2020 to linear BT.709.
    matrix = np.array(
        [
            [1.6605, -0.5877, -0.0728],
            [-0.1246, 1.1330, -0.0084],
            [-0.0182, -0.1006, 1.1187],
        ]
    )
    linear = (colours / 255) ** 2.4 @ matrix.T
    wanted = 255 * np.clip(linear, 0, 1) ** (1 / 2.4)
    film = _write(tmp_path / "film.mkv", frame, _BT2020)
    _assert_quadrants(_shown(film), wanted, within=5)


def _pq(nits):
    """SMPTE ST 2084, the signal of a luminance in cd/m²."""
    power = (np.asarray(nits, float) / 10000) ** (2610 / 16384)
    scale = 2523 / 32
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** scale


def _grey_codes(signals):
    return [(round(64 + 876 * signal), 512, 512) for signal in signals]


@pytest.mark.extended
def test_pq_is_tone_mapped_from_the_peak_of_the_mastering_display(tmp_path):
    frame = _planes(_grey_codes(_pq([0, 1, 10, 100, 203, 400, 1000])))
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    options = {"x265-params": f"log-level=none:{display}L(10000000,1):max-cll=1000,400"}
    film = tmp_path / "film.mkv"
    pixels = _shown(_write(film, frame, _PQ, codec="libx265", options=options))
    row = pixels[32, 8::16].astype(int)
    assert np.ptp(row, axis=1).max() <= 2  # grey stays grey
    assert (np.diff(row[:, 0]) > 10).all()
    black, _, dark, middle, white, _, peak = row[:, 0]
    assert black <= 1 and peak >= 253
    # As stored, 10, 100 and 203 cd/m² would be 77, 130 and 148: pale and without
    # contrast. BT.2408 has them at about a quarter, a half and two thirds.
    assert 50 <= dark <= 70 and 132 <= middle <= 155 and 160 <= white <= 190


@pytest.mark.extended
def test_hlg_is_tone_mapped_and_its_colours_are_not_pale(tmp_path):
    grey = _grey_codes([0, 0.5, 0.75, 1])
    red = np.array([0.2627, -0.2627 / 1.8814, (1 - 0.2627) / 1.4746]) * 0.75
    frame = _planes([*grey, np.rint([64, 512, 512] + red * [876, 896, 896])])
    row = _shown(_write(tmp_path / "film.mkv", frame, _HLG))[32, 8::16].astype(int)
    assert np.ptp(row[:4], axis=1).max() <= 2
    black, middle, white, peak = row[:4, 0]
    assert black <= 1 and 110 <= middle <= 140 and 160 <= white <= 190 and peak >= 250
    red, green, blue = row[4]
    assert red > 150 and max(green, blue) < 40


@pytest.mark.parametrize(
    ("colours", "display", "said"),
    [
        ((8, 1, 1), None, "colour matrix 8"),
        ((1, 1, 9), None, r"colours of .*film\.mp4 cannot be converted"),
        (_BT709, (0.7, 0.7, -0.7, 0.7), "turns by 45 degrees"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path, colours, display, said):
    frame, film = _frame(_PICTURE, "yuv420p", 1, True), tmp_path / "film.mp4"
    _write(film, frame, colours, codec="libx264", display=display)
    with pytest.raises(PhotoError, match=said):
        _shown(film)


def test_fields_of_an_interlaced_film_are_separated(tmp_path):
    combed = np.full((64, 64, 3), 60, np.uint8)
    before = _frame(combed, "yuv420p", 1, True)
    combed[1::2] = 180  # it became bright between the fields
    frame = _frame(combed, "yuv420p", 1, True)
    options = {"x264-params": "tff=1:qp=4"}
    film = tmp_path / "film.mkv"
    _write(film, frame, codec="libx264", options=options, before=before)
    assert np.ptp(_shown(film)[:, 32, 1]) < 30
