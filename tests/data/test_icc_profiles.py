"""Embedded colour profiles against the colour arithmetic they stand for."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import decode_photo

# Primaries of sRGB adapted to the D50 white of the profile connection space.
_RED = (0.43607, 0.22249, 0.01392)
_GREEN = (0.38515, 0.71687, 0.09708)
_BLUE = (0.14307, 0.06061, 0.71410)
_WHITE = (0.96420, 1.0, 0.82491)


def _profile(space: bytes, *, kind=b"mntr", between=b"XYZ ", **tags: bytes) -> bytes:
    """A profile of version 2 with the given tags."""
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name.encode() + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI12s4s44s",
        start + len(body), b"lcms", 0x02100000, kind, space, between,
        struct.pack(">6H", 2020, 1, 1, 0, 0, 0), b"acsp", b"", 0, b"", b"", 0, 0,
        struct.pack(">3i", *(round(65536 * value) for value in _WHITE)), b"", b"",
    )  # fmt: skip
    return head + struct.pack(">I", len(tags)) + table + body


def _xyz(values) -> bytes:
    numbers = (round(65536 * value) for value in values)
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *numbers)


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * value))


def _rgb_profile(gamma, red=_RED, green=_GREEN, blue=_BLUE) -> bytes:
    return _profile(
        b"RGB ", wtpt=_xyz(_WHITE), rXYZ=_xyz(red), gXYZ=_xyz(green), bXYZ=_xyz(blue),
        rTRC=_gamma(gamma), gTRC=_gamma(gamma), bTRC=_gamma(gamma),
    )  # fmt: skip


def _grey_profile(gamma) -> bytes:
    return _profile(b"GRAY", wtpt=_xyz(_WHITE), kTRC=_gamma(gamma))


def _srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] -> sRGB values in [0, 255], IEC 61966-2-1."""
    low = 12.92 * linear
    high = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return 255 * np.where(linear <= 0.0031308, low, high)


def _png(pixels, profile) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", icc_profile=profile)
    return file.getvalue()


@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_another_gamma_is_converted(make_photo, gamma):
    photo = make_photo(77, 60, 80)
    result = decode_photo(_png(photo, _rgb_profile(gamma)), "x")
    assert np.abs(result - _srgb((photo / 255) ** gamma)).max() < 2


def test_other_primaries_are_converted(make_photo):
    photo = make_photo(77, 60, 80)
    profile = _rgb_profile(2.2, red=_BLUE, green=_GREEN, blue=_RED)
    result = decode_photo(_png(photo, profile), "x")
    assert np.abs(result - _srgb((photo[..., ::-1] / 255) ** 2.2)).max() < 2


def test_grey_profile_is_converted():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    result = decode_photo(_png(grey, _grey_profile(1.0)), "x")
    expected = np.stack([_srgb(grey / 255)] * 3, -1)
    assert np.abs(result - expected).max() < 2


def test_cmyk_profile_is_converted():
    """A printer whose black ink lowers L* in proportion and whose colours are clear."""
    identity = bytes(range(256))
    corners = b"".join(
        bytes([0 if black else 255, 128, 128]) for _ in range(8) for black in (0, 1)
    )
    matrix = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix
    table += identity * 4 + corners + identity * 3
    profile = _profile(
        b"CMYK", kind=b"prtr", between=b"Lab ", wtpt=_xyz(_WHITE), A2B0=table
    )
    inks = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    inks[..., 3] = np.arange(256).reshape(16, 16)
    file = io.BytesIO()
    Image.fromarray(inks, mode="CMYK").save(file, "TIFF", icc_profile=profile)
    lightness = 100 * (1 - inks[..., 3] / 255)
    luminance = np.where(
        lightness > 8, ((lightness + 16) / 116) ** 3, lightness * 27 / 24389
    )
    expected = np.stack([_srgb(luminance)] * 3, -1)
    assert np.abs(decode_photo(file.getvalue(), "x") - expected).max() < 3


def test_colours_are_converted_before_they_are_composited():
    pixels = np.full((4, 4, 4), 128, np.uint8)
    result = decode_photo(_png(pixels, _rgb_profile(1.0)), "x")
    alpha = 128 / 255
    expected = _srgb(np.array(alpha)) * alpha + 255 * (1 - alpha)
    assert np.abs(result - expected).max() < 2


def test_srgb_photos_keep_their_bytes(make_photo):
    """By its name: many writers ship sRGB profiles with slightly different numbers."""
    name = b"sRGB IEC61966-2.1\0"
    title = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + b"\0" * 78
    curve = _gamma(2.1)
    profile = _profile(
        b"RGB ", desc=title, wtpt=_xyz(_WHITE), rXYZ=_xyz(_RED), gXYZ=_xyz(_GREEN),
        bXYZ=_xyz(_BLUE), rTRC=curve, gTRC=curve, bTRC=curve,
    )  # fmt: skip
    photo = make_photo(200, 60, 80)
    np.testing.assert_array_equal(decode_photo(_png(photo, profile), "x"), photo)


def test_a_colour_profile_in_a_grey_photo_applies():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    result = decode_photo(_png(grey, _rgb_profile(1.0)), "x")
    assert np.abs(result[..., 1] - _srgb(grey / 255)).max() < 2


@pytest.mark.parametrize("profile", [b"no profile", _grey_profile(1.0)])
def test_a_profile_that_cannot_apply_is_ignored(make_photo, profile):
    photo = make_photo(200)
    np.testing.assert_array_equal(decode_photo(_png(photo, profile), "x"), photo)
