"""Photos of a folder: their names, their order, and unusable folders."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import Source, make_source
from vgg_unpool_jax.errors import SourceError


def _names(source):
    return [source.name(index) for index in range(len(source))]


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_photos_come_sorted_from_all_subfolders(tmp_path, make_photo):
    files = ["b/2.png", "a.PNG", "b/10.jpeg", "b/deep/er/x.tiff", "Z.webp", "c.gif"]
    files += ["d.bmp", "e.ppm", "f.Tif", "g.JPG"]
    for number, file in enumerate(files):
        _save(tmp_path / file, make_photo(number))
    (tmp_path / "notes.txt").write_text("no photo")
    source = make_source(f"folder:{tmp_path}")
    assert isinstance(source, Source)
    assert _names(source) == sorted(files)
    for index, name in enumerate(sorted(files)):
        assert source[index].shape == (24, 32, 3)
        assert abs(int(source[index][5, 5, 2]) - files.index(name)) < 12, name


def test_hidden_files_and_mac_leftovers_are_ignored(make_folder):
    folder = make_folder(2)
    for hidden in (".cache/x.png", "__MACOSX/photo000.png", "sub/.y.png", "._a.png"):
        target = folder / hidden
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "photo000.png", target)
    assert _names(make_source(f"folder:{folder}")) == ["photo000.png", "photo001.png"]


def test_links_are_followed_and_loops_end(make_folder, tmp_path):
    folder = make_folder(2)
    elsewhere = make_folder(1, name="elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "sub").mkdir()
    (folder / "sub" / "up").symlink_to(tmp_path)
    (folder / "self.jpg").symlink_to(folder / "self.jpg")
    source = make_source(f"folder:{folder}")
    expected = ["photo000.png", "photo001.png", "self.jpg"]
    assert _names(source) == [*expected, "sub/up/elsewhere/photo000.png"]
    np.testing.assert_array_equal(
        source[3], np.asarray(Image.open(elsewhere / "photo000.png"))
    )


def test_a_folder_reached_twice_counts_once_under_its_own_name(make_folder):
    folder = make_folder(1)
    (folder / "z").mkdir()
    shutil.copy(folder / "photo000.png", folder / "z" / "p.png")
    (folder / "a").symlink_to(folder / "z")
    assert _names(make_source(f"folder:{folder}")) == ["photo000.png", "z/p.png"]


def test_pipes_are_no_photos(make_folder):
    folder = make_folder(1)
    os.mkfifo(folder / "pipe.png")
    assert _names(make_source(f"folder:{folder}")) == ["photo000.png"]


def test_unusable_folders_are_refused_at_once(tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(SourceError, match=f"{missing} does not exist"):
        make_source(f"folder:{missing}")
    file = tmp_path / "file.txt"
    file.write_text("")
    with pytest.raises(SourceError, match=f"{file} does not exist or is not a"):
        make_source(f"folder:{file}")
    empty = tmp_path / "empty"
    (empty / "sub").mkdir(parents=True)
    with pytest.raises(SourceError, match=f"{empty} holds no photo"):
        make_source(f"folder:{empty}")


@pytest.mark.real_data
def test_real_photos_are_readable(photos_folder):
    source = make_source(f"folder:{photos_folder / 'train'}")
    assert len(source) == 1134
    for index in range(0, 1134, 25):
        photo = source[index]
        assert photo.dtype == np.uint8 and photo.shape[2] == 3
        assert 100 <= min(photo.shape[:2]) <= 256
