"""Photos to work on one by one and the names of their results."""

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data.photo_files import list_photo_files
from vgg_unpool_jax.errors import ConfigError, SourceError


def _save(path, size=(4, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 7, np.uint8)).save(path)


def _outputs(files, folder):
    return [file.output.relative_to(folder).as_posix() for file in files]


def test_a_folder_keeps_its_subfolders_and_names(tmp_path):
    _save(tmp_path / "in" / "a.jpg")
    _save(tmp_path / "in" / "sub" / "b.c.png")
    files = list_photo_files(tmp_path / "in", tmp_path / "out")
    assert _outputs(files, tmp_path / "out") == ["a.png", "sub/b.c.png"]
    assert files[1].grid == tmp_path / "out" / "sub" / "b.c_grid.png"
    assert files[1].read().shape == (4, 5, 3)


def test_photos_that_differ_in_the_extension_keep_it(tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        _save(tmp_path / "in" / name)
    files = list_photo_files(tmp_path / "in", tmp_path / "out")
    assert _outputs(files, tmp_path / "out") == ["a.jpg.png", "a.png.png", "b.png"]


@pytest.mark.parametrize(
    "names", [("a.jpg", "a_grid.jpg"), ("b.jpg", "b.png", "b.jpg.png")]
)
def test_results_that_would_overwrite_each_other_are_refused(names, tmp_path):
    for name in names:
        _save(tmp_path / "in" / name)
    with pytest.raises(SourceError, match=r"would both be .*rename one"):
        list_photo_files(tmp_path / "in", tmp_path / "out")


def test_a_photo_is_never_overwritten(tmp_path):
    _save(tmp_path / "a.png")
    for source in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(ConfigError, match=r"a\.png would overwrite a file"):
            list_photo_files(source, tmp_path)


def test_what_is_missing_or_no_folder_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"no photo or folder .*nowhere"):
        list_photo_files(tmp_path / "nowhere", tmp_path / "out")
    _save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"output .*a\.png is not a folder"):
        list_photo_files(tmp_path / "a.png", tmp_path / "a.png")
