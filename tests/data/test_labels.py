"""Classes of photos in folders, zip files and the samples."""

import pickle
import zipfile

import pytest
from PIL import Image

from vgg_unpool_jax.data import make_source

_PATHS = {
    "images/apple_pie/1.jpg": "apple_pie",
    "images/apple_pie/2.jpg": "apple_pie",
    "images/apple.pie, cold/1.jpg": "apple.pie, cold",
    "images/loose.jpg": "images",
    "top.jpg": None,
    "a/b/c/deep.png": "c",
}


@pytest.fixture
def folder(tmp_path, make_photo):
    """A folder whose own name is no class."""
    folder = tmp_path / "food"
    for number, path in enumerate(_PATHS):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_photo(number)).save(folder / path)
    return folder


@pytest.fixture(params=["folder", "zip"])
def source(request, folder, tmp_path):
    if request.param == "folder":
        return make_source(f"folder:{folder}")
    path = tmp_path / "food.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in _PATHS:
            archive.write(folder / name, name)
    return make_source(f"zip:{path}")


def _labels(source):
    return {source.name(i): source.label(i) for i in range(len(source))}


def test_the_folder_above_a_photo_is_its_class(source):
    assert _labels(source) == _PATHS
    assert _labels(pickle.loads(pickle.dumps(source))) == _PATHS


def test_labels_do_not_read_the_photos(folder):
    source = make_source(f"folder:{folder}")
    for path in _PATHS:
        (folder / path).unlink()
    assert _labels(source) == _PATHS
