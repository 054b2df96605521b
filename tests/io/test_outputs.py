"""The check that no file is written which is read, and where folders are needed."""

import os

import pytest

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io.outputs import check_outputs, names_file, output_folder


@pytest.fixture
def photo(tmp_path):
    """A photo in a folder with a second name, and links to both."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"photo")
    os.link(folder / "a.png", tmp_path / "second.png")
    (tmp_path / "link.png").symlink_to(folder / "a.png")
    (tmp_path / "linked").symlink_to(folder)
    return folder / "a.png"


NAMES = ("photos/a.png", "second.png", "link.png", "linked/a.png", "x/../photos/a.png")


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_that_is_read_may_be_written(photo, name, tmp_path):
    (tmp_path / "x").mkdir()
    for read in (photo, tmp_path / "link.png", *([photo.parent] * (name[0] != "s"))):
        with pytest.raises(ConfigError, match=r"output .*png would overwrite a file"):
            check_outputs([tmp_path / "new.png", tmp_path / name], [read])
    assert not (tmp_path / "new.png").exists()


def test_other_files_may_be_written(photo, tmp_path):
    (tmp_path / "old.png").write_bytes(b"old")
    writes = [tmp_path / name for name in ("photos/b.png", "old.png", "n/e/w.png")]
    check_outputs(writes, [photo, photo.parent, tmp_path / "absent"])


def test_a_photo_that_vanished_is_not_written_either(photo, tmp_path):
    photo.unlink()
    with pytest.raises(ConfigError, match="would overwrite a file"):
        check_outputs([photo], [tmp_path / "link.png"])


def test_files_and_folders_are_not_taken_for_each_other(photo, tmp_path):
    with pytest.raises(ConfigError, match=r"a\.png is a file, where a folder"):
        check_outputs([photo / "x" / "b.png"])
    with pytest.raises(ConfigError, match="photos is a folder, expected a file"):
        check_outputs([photo.parent])
    with pytest.raises(ConfigError, match="two outputs would both be"):
        check_outputs([tmp_path / "b.png", tmp_path / "linked" / ".." / "b.png"])
    with pytest.raises(ConfigError, match=r"a\.png is not a folder"):
        output_folder(photo)
    with pytest.raises(ConfigError, match=r"a\.png is a file, where a folder"):
        output_folder(photo / "results")
    with pytest.raises(ConfigError, match=r"r\.tif would be a folder with the name"):
        output_folder(tmp_path / "r.tif")
    assert output_folder(f"{tmp_path}/r.tif/") == tmp_path / "r.tif"
    (tmp_path / "old.d").mkdir()
    assert output_folder(tmp_path / "old.d") == tmp_path / "old.d"


def test_extensions_begin_with_a_letter():
    assert all(map(names_file, ("r.tif", "a/r.unknown", "r.jp2", "x.tar.gz")))
    assert not any(
        map(names_file, ("r", "run-1.5", "r.tif/", ".hidden", "a.b/r", "2."))
    )
