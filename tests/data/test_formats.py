"""Photos of every format in a folder: read, or named where nothing reads them."""

import logging
import zipfile

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import decode_photo, formats, make_source
from vgg_unpool_jax.errors import SourceError

LOSSLESS = {"PNG", "BMP", "TIFF", "PPM"}


def _smooth():
    across = np.linspace(0, 255, 64)
    pixels = np.stack(np.broadcast_arrays(across, across[:48, None], 90.0), axis=-1)
    return np.rint(pixels).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """One photo of every format that can be written here, by its extension."""
    for suffix in formats.PHOTO_SUFFIXES:
        path = tmp_path / f"{suffix[1:]}{suffix.upper()}"
        mode = "RGB" if suffix != ".pbm" and suffix != ".pgm" else "L"
        Image.fromarray(_smooth()).convert(mode).save(path, formats.FORMATS[suffix])
    return tmp_path


def test_every_format_with_an_extension_is_read_from_a_folder(folder):
    source = make_source(f"folder:{folder}")
    names = {source.name(i): source[i] for i in range(len(source))}
    assert len(names) == len(formats.PHOTO_SUFFIXES) > 18
    for name, pixels in names.items():
        kind = formats.FORMATS["." + name.rpartition(".")[2].lower()]
        expected = _smooth()
        if name.endswith((".PGM", ".PBM")):
            expected = np.asarray(Image.fromarray(expected).convert("L"))[..., None]
        error = np.abs(pixels.astype(int) - expected).mean()
        assert error == 0 if kind in LOSSLESS else error < 6, name


def test_photos_in_other_formats_are_named(folder, caplog):
    others = ["a.cr2", "b.JXL"]
    assert "HEIC needs a package: pip install pillow" in formats.left_out(["c.HEIC"])
    for name in others:
        (folder / name).write_bytes(b"raw")
    with zipfile.ZipFile(folder / "p.zip", "w") as archive:
        for name in ("png.PNG", *others):
            archive.write(folder / name, name)
    for spec in (f"folder:{folder}", f"zip:{folder}/p.zip"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            make_source(spec)
        (told,) = caplog.messages
        assert told.endswith("2 photos in formats that are not read here: a.cr2, b.JXL")
    for path in folder.glob("*.*"):
        if path.name not in others:
            path.unlink()
    with pytest.raises(SourceError, match=r"no photo .* but . photos in formats .*cr2"):
        make_source(f"folder:{folder}")


def test_transparent_pixels_are_told_of_once_where_asked(tmp_path, caplog):
    pixels = np.dstack([_smooth(), np.full((48, 64), 255, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    pixels[:9, :9, 3] = 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING):
        decode_photo(tmp_path / "opaque.png", "opaque.png", tell_alpha=True)
        decode_photo(tmp_path / "a.png", str(tmp_path / "a.png"))
        assert not caplog.messages
        for _ in range(2):
            decode_photo(tmp_path / "a.png", str(tmp_path / "a.png"), tell_alpha=True)
    (told,) = caplog.messages
    assert "a.png has transparent pixels: they are shown on white" in told
