"""Every kind of photo comes out as a viewer shows it, or with a sentence why not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from vgg_unpool_jax.data import decode, decode_photo
from vgg_unpool_jax.errors import PhotoError


def _encode(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _ramp(height=16, width=16):
    return np.arange(height * width, dtype=np.uint8).reshape(height, width)


def _png(pixels: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG written by hand: Pillow cannot write 16-bit RGB."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width = pixels.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_are_exact(make_photo, kind):
    photo = make_photo(9)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = _encode(Image.fromarray(photo), kind, **options)
    result = decode_photo(data, "x")
    np.testing.assert_array_equal(result, photo)
    assert result.dtype == np.uint8


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"keep_rgb": True}])
@pytest.mark.parametrize("fast", [True, False])
def test_jpeg_equals_pillow_whoever_decodes_it(
    make_photo, monkeypatch, fast, options, subsampling
):
    if not fast:
        monkeypatch.setattr(decode, "simplejpeg", None)
    elif decode.simplejpeg is None:
        pytest.skip("simplejpeg is not installed")
    if "keep_rgb" in options and subsampling:
        pytest.skip("RGB is not subsampled")
    image = Image.fromarray(make_photo(9, 51, 70))
    options = {"quality": 90, "subsampling": subsampling} | options
    data = _encode(image, "JPEG", **options)
    fast_pixels = decode._decode_plain_jpeg(Image.open(io.BytesIO(data)), data)
    assert (fast_pixels is not None) == fast
    expected = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode_photo(data, "x"), expected)


def test_bytes_paths_and_files_are_the_same(make_photo, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(make_photo(1)).save(path)
    with open(path, "rb") as file:
        results = [decode_photo(path, "a"), decode_photo(str(path), "a")]
        results += [decode_photo(file, "a"), decode_photo(path.read_bytes(), "a")]
    for result in results:
        np.testing.assert_array_equal(result, make_photo(1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(make_photo, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encode(Image.fromarray(make_photo(1)), kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    result = decode_photo(data, "x")
    np.testing.assert_array_equal(result, np.asarray(expected))
    assert result.shape == ((24, 32, 3) if orientation < 5 else (32, 24, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "block", [b"XX*\0\0\0\0\x08", b"MM\0*\0", b"II*\0\xff\xff\xff\x7f", b""]
)
def test_unreadable_exif_leaves_the_photo_as_stored(make_photo, block, kind):
    photo = Image.fromarray(make_photo(1))
    data = _encode(photo, kind, exif=b"Exif\0\0" + block)
    plain = decode_photo(_encode(photo, kind), "x")
    np.testing.assert_array_equal(decode_photo(data, "x"), plain)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_palette_becomes_rgb(kind):
    image = Image.fromarray(_ramp() % 4).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7] + [0] * 756)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    result = decode_photo(_encode(image, kind), "x")
    np.testing.assert_array_equal(result, colours[_ramp() % 4])


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_becomes_white(kind):
    image = Image.fromarray(_ramp() % 2).convert("P")
    image.putpalette([200, 0, 0, 0, 90, 0] + [0] * 762)
    data = _encode(image, kind, transparency=1)
    colours = np.array([[200, 0, 0], [255, 255, 255]], np.uint8)
    np.testing.assert_array_equal(decode_photo(data, "x"), colours[_ramp() % 2])


def test_key_colour_becomes_white():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[1, 2] = (10, 20, 30)
    data = _encode(Image.fromarray(pixels), "PNG", transparency=(10, 20, 30))
    result = decode_photo(data, "x")
    assert (result[1, 2] == 255).all()
    assert result.sum() == 3 * 255


@pytest.mark.parametrize(
    "mode, kind",
    [
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
        ("RGBA", "TIFF"),
        ("LA", "PNG"),
        ("LA", "TIFF"),
    ],
)
def test_alpha_is_composited_over_white(mode, kind):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 12, len(mode)), dtype=np.uint8)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = _encode(Image.fromarray(pixels), kind, **options)
    alpha = pixels[..., -1:] / 255
    expected = np.broadcast_to(
        pixels[..., :-1] * alpha + 255 * (1 - alpha), (12, 12, 3)
    )
    assert np.abs(decode_photo(data, "x") - expected).max() <= 1


def test_16_bit_grey_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    result = decode_photo(_png(values, colour_type=0), "x")
    np.testing.assert_array_equal(result, np.stack([values >> 8] * 3, -1))
    assert result.min() == 0 and result.max() == 255


@pytest.mark.parametrize("mode, kind", [("I;16", "TIFF"), ("I", "TIFF"), ("I", "PPM")])
def test_other_16_bit_grey_is_scaled_not_clipped(mode, kind):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    dtype = np.uint16 if mode == "I;16" else np.int32
    data = _encode(Image.fromarray(values.astype(dtype)), kind)
    result = decode_photo(data, "x")
    np.testing.assert_array_equal(result, np.stack([values >> 8] * 3, -1))


def test_float_grey_from_0_to_1_is_scaled():
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    result = decode_photo(_encode(Image.fromarray(values), "TIFF"), "x")
    np.testing.assert_array_equal(result[..., 0], _ramp())


@pytest.mark.parametrize(
    "values, words",
    [
        (np.full((4, 4), 70000, np.int32), "integer values from 70000 to 70000"),
        (np.full((4, 4), -3, np.int32), "integer values from -3 to -3"),
        (np.full((4, 4), 7.5, np.float32), "float values from 7.5 to 7.5"),
        (np.full((4, 4), np.nan, np.float32), "float values from nan to nan"),
    ],
)
def test_values_without_a_brightness_are_refused(values, words):
    data = _encode(Image.fromarray(values), "TIFF")
    with pytest.raises(PhotoError, match=f"photo odd.tif holds {words}"):
        decode_photo(data, "odd.tif")


def test_cmyk_tiff_has_the_inks_of_pillow():
    inks = np.array(
        [
            [
                [0, 0, 0, 0],
                [255, 0, 0, 0],
                [0, 255, 0, 0],
                [0, 0, 255, 0],
                [0, 0, 0, 255],
            ]
        ],
        np.uint8,
    )
    data = _encode(Image.fromarray(inks, mode="CMYK"), "TIFF")
    expected = [[255, 255, 255], [0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0]]
    np.testing.assert_array_equal(decode_photo(data, "x")[0], expected)


@pytest.mark.extended
@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_adobe_cmyk_jpeg_equals_tensorflow(make_photo, transform):
    tensorflow = pytest.importorskip("tensorflow")
    photo = Image.fromarray(make_photo(90, 64, 80)).convert("CMYK")
    data = bytearray(_encode(photo, "JPEG", quality=95))
    # Adobe's marker says whether the four channels are CMYK (0) or YCCK (2).
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0
    data[marker + 11] = transform
    result = decode_photo(bytes(data), "x").astype(int)
    oracle = tensorflow.io.decode_jpeg(bytes(data), channels=3).numpy()
    difference = np.abs(result - oracle)
    assert difference.max() <= 6 and difference.mean() < 1
    if transform == 0:
        assert np.abs(result - make_photo(90, 64, 80)).mean() < 3


def test_a_phone_photo_with_two_pictures_shows_the_first(make_photo):
    first, second = (Image.fromarray(make_photo(n, 40, 40)) for n in (10, 200))
    data = _encode(first, "MPO", save_all=True, append_images=[second])
    assert abs(int(decode_photo(data, "x")[..., 2].mean()) - 10) < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "GIF", "PPM", "WEBP"])
def test_a_truncated_file_is_an_error(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = _encode(Image.fromarray(noise), kind)
    assert decode_photo(data, "x").shape == (64, 64, 3)
    for share in (0.95, 0.5, 0.1):
        with pytest.raises(PhotoError, match=r"photo cut\.img is"):
            decode_photo(data[: int(len(data) * share)], "cut.img")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", r"photo a\.jpg is empty \(0 bytes\)"),
        (b"<html>not found</html>", r"photo a\.jpg is not an image in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not an image in a known format"),
        (b"\x89PNG\r\n\x1a\n", r"photo a\.jpg is"),
    ],
)
def test_what_is_no_photo_is_an_error(data, words):
    with pytest.raises(PhotoError, match=words):
        decode_photo(data, "a.jpg")


def test_random_bytes_never_raise_anything_else(make_photo):
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"):
        whole = _encode(Image.fromarray(make_photo(1)), kind)
        for _ in range(60):
            data = bytearray(whole)
            for position in rng.integers(0, len(data), 5):
                data[position] = rng.integers(256)
            try:
                assert decode_photo(bytes(data), "x").shape[2] == 3
            except PhotoError as error:
                assert "photo x " in str(error)


def test_decompression_bombs_are_refused_from_twice_pillows_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = _encode(Image.new("RGB", (20, 11)), "PNG")
    with pytest.raises(
        PhotoError, match="photo big has too many pixels: more than 200"
    ):
        decode_photo(data, "big")
    # Between once and twice the limit Pillow warns, and warnings are errors here.
    data = _encode(Image.new("RGB", (20, 10)), "PNG")
    assert decode_photo(data, "big").shape == (10, 20, 3)
