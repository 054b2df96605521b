"""Photos inside zip files, and unusable zip files."""

import concurrent.futures
import os
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.errors import PhotoError, SourceError


@pytest.fixture
def make_zip(make_folder, tmp_path):
    def make(count=4, compression=zipfile.ZIP_STORED):
        path = tmp_path / "photos.zip"
        folder = make_folder(count, name="to_zip")
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.mkdir("unlabeled2017")
            # Not in alphabetical order.
            for file in sorted(folder.iterdir(), reverse=True):
                archive.write(file, f"unlabeled2017/{file.name}")
            archive.writestr("readme.txt", "photos")
            archive.writestr("__MACOSX/unlabeled2017/._photo000.png", b"x")
            archive.writestr("unlabeled2017/.hidden.png", b"x")
        return path, folder

    return make


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_photos_come_sorted_and_whole(make_zip, compression):
    path, folder = make_zip(compression=compression)
    source = make_source(f"zip:{path}")
    names = [source.name(index) for index in range(len(source))]
    assert names == [f"unlabeled2017/photo{number:03d}.png" for number in range(4)]
    for index, file in enumerate(sorted(folder.iterdir())):
        np.testing.assert_array_equal(source[index], np.asarray(Image.open(file)))


def test_threads_read_at_once(make_zip):
    path, _ = make_zip(count=20)
    source = make_source(f"zip:{path}")
    order = np.random.default_rng(0).integers(20, size=400).tolist()
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        photos = list(threads.map(source.__getitem__, order))
    assert [int(photo[0, 0, 2]) for photo in photos] == order


def test_a_forked_process_opens_the_file_again(make_zip, monkeypatch):
    """A fork shares the file offset with its parent; here only the process id changes.

    (Forking for real is not possible beside jax' threads.)
    """
    path, _ = make_zip()
    source = make_source(f"zip:{path}")
    opened = []
    real = zipfile.ZipFile

    def count(*arguments):
        opened.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(zipfile, "ZipFile", count)
    source[0], source[1]
    assert len(opened) == 1
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert source[2][0, 0, 2] == 2
    assert source[3][0, 0, 2] == 3
    assert len(opened) == 2


def test_a_damaged_member_is_a_broken_photo(make_zip):
    path, _ = make_zip()
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("unlabeled2017/photo002.png")
    data = bytearray(path.read_bytes())
    data[member.header_offset + 80] ^= 0xFF
    path.write_bytes(data)
    source = make_source(f"zip:{path}")
    with pytest.raises(PhotoError, match=r"photo002.png .*cannot be read: Bad CRC-32"):
        source[2]
    assert source[1].shape == (24, 32, 3)


def test_a_zip_bomb_is_a_broken_photo(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", b"x")
    # The size in the directory: 3 GiB.
    data = path.read_bytes()
    claimed = struct.pack("<I", 3 << 30)
    entry = data.index(b"PK\x01\x02")
    path.write_bytes(data[: entry + 24] + claimed + data[entry + 28 :])
    with pytest.raises(PhotoError, match=r"bomb.png would take 3221225472 bytes"):
        make_source(f"zip:{path}")[0]


def test_encrypted_photos_are_refused(make_zip):
    path, _ = make_zip()
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    while entry >= 0:
        data[entry + 8] |= 1
        entry = data.find(b"PK\x01\x02", entry + 4)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"4 of the 4 photos .*{path} are encrypted"):
        make_source(f"zip:{path}")


def test_unusable_files_are_refused_at_once(make_zip, tmp_path):
    path, _ = make_zip()
    whole = path.read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=f"{cut} cannot be read: File is not a zip"):
        make_source(f"zip:{cut}")
    missing = tmp_path / "missing.zip"
    with pytest.raises(SourceError, match=f"{missing} cannot be read: No such file"):
        make_source(f"zip:{missing}")
    with pytest.raises(SourceError, match=f"{tmp_path} is a folder"):
        make_source(f"zip:{tmp_path}")
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("notes.txt", "no photo")
    with pytest.raises(SourceError, match=f"{empty} holds no photo"):
        make_source(f"zip:{empty}")
