import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.applications.studio import photos
from vgg_unpool_jax.applications.studio.measures import measure
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation.comparison import compare


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    # A head alone: decoding it would complain about the missing pixels.
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 8000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b""))
    with pytest.raises(
        PhotoError, match=r"bomb\.png has 9000×8000 pixels, and at most"
    ):
        photos.read_photo(path, path.name)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path):
    path = tmp_path / "large.tif"
    with open(path, "wb") as file:
        file.truncate(photos.MAX_BYTES + 1)
    with pytest.raises(PhotoError, match="64 MiB, and the studio takes"):
        photos.read_photo(path, path.name)


def test_photos_are_turned_as_viewers_show_them_and_reduced_for_the_preview(tmp_path):
    pixels = np.zeros((300, 1200, 3), np.uint8)
    pixels[:, 600:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels).save(path, exif=exif)
    photo = photos.read_photo(path, "turned.jpg")
    assert (photo.height, photo.width) == (1200, 300) and not photo.is_whole
    assert photo.preview.shape == (512, 128, 3) and photo.preview.dtype == np.uint8
    assert photo.preview[:200].max() < 20 and photo.preview[-200:].min() > 235
    assert photo.pixels(whole=True).shape == (1200, 300, 3)
    assert photo.pixels(whole=False) is photo.preview


def test_measures_are_those_of_the_evaluation(photo):
    noise = np.random.default_rng(1).normal(0, 9, photo.shape)
    noisy = np.clip(photo + noise, 0, 255).astype(np.float32)
    found, wanted = measure(noisy, photo), compare(noisy, photo)
    for name in ("l1", "psnr", "ssim"):
        assert getattr(found, name) == pytest.approx(wanted[name], rel=1e-4)
    assert "SSIM" not in str(measure(photo[:8], photo[:8]))
