"""Several sources as one: names, reading, labels, faults and the loader."""

import shutil
import zipfile

import numpy as np
import pytest

from vgg_unpool_jax.data import Source, make_loader, make_source
from vgg_unpool_jax.errors import PhotoError, SourceError

_EVALUATION = {
    "batch_size": 3,
    "image_size": 8,
    "crop": "center",
    "seed": 5,
    "shuffle": False,
    "num_epochs": 1,
}


@pytest.fixture
def folder(make_folder):
    """Three photos in the class `cat`, the first of them at the top."""
    folder = make_folder(3, name="cats")
    (folder / "cat").mkdir()
    for number in (1, 2):
        name = f"photo{number:03d}.png"
        shutil.move(folder / name, folder / "cat" / name)
    return folder


@pytest.fixture
def archive(make_folder, tmp_path):
    """Four photos in the class `dog`, with names that the folder has, too."""
    path = tmp_path / "dogs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(make_folder(4, name="dogs").iterdir()):
            archive.write(file, f"dog/{file.name}")
    return path


@pytest.fixture
def source(folder, archive):
    return make_source(f"folder:{folder},zip:{archive}")


_NAMES = [
    "1/cat/photo001.png",
    "1/cat/photo002.png",
    "1/photo000.png",
    "2/dog/photo000.png",
    "2/dog/photo001.png",
    "2/dog/photo002.png",
    "2/dog/photo003.png",
]
# As the blue channels of the test photos tell them.
_NUMBERS = [1, 2, 0, 0, 1, 2, 3]


def _numbers(photos):
    return [int(photo[0, 0, 2]) for photo in photos]


def test_photos_of_the_first_come_before_those_of_the_second(source):
    assert isinstance(source, Source)
    assert len(source) == 7
    assert [source.name(index) for index in range(7)] == _NAMES
    assert _numbers(source[index] for index in range(7)) == _NUMBERS
    assert source[np.int64(4)].shape == (24, 32, 3)


def test_labels_are_those_of_the_parts(source):
    labels = [source.label(index) for index in range(7)]
    assert labels == ["cat", "cat", None, "dog", "dog", "dog", "dog"]


@pytest.mark.parametrize(
    "name",
    ["a, zip:b", "a,samples,b", "a,"],
)
def test_commas_in_a_path_stay(make_folder, name):
    folder = make_folder(2, name=name)
    source = make_source(f"folder:{folder}")
    assert repr(source) == f"folder {folder}"
    joined = make_source(f"samples,folder:{folder}")
    assert len(joined) == 15
    assert repr(joined).endswith(f" and folder {folder}")


def test_a_part_that_cannot_be_used_is_named(folder, tmp_path):
    missing = tmp_path / "missing.zip"
    with pytest.raises(
        SourceError, match=f"zip file {missing} cannot be read: No such file"
    ):
        make_source(f"folder:{folder},zip:{missing}")
    with pytest.raises(SourceError, match=r"named by .*commas between, got 'zip:'"):
        make_source(f"zip:,folder:{folder}")
    with pytest.raises(SourceError, match=r"named by .*, got ''"):
        make_source(f",folder:{folder}")


def test_a_source_is_not_joined_with_itself(folder):
    with pytest.raises(SourceError, match=f"names folder {folder} twice"):
        make_source(f"folder:{folder},samples,folder:{folder}/cat/..")
    with pytest.raises(SourceError, match=r"names sample photos in .* twice"):
        make_source("samples,samples")


def test_a_broken_photo_goes_by_its_name_in_the_joined_source(folder, archive):
    source = make_source(f"zip:{archive},folder:{folder}")
    (folder / "photo000.png").write_bytes(b"")
    with pytest.raises(PhotoError, match=r"^2/photo000\.png: .* is empty \(0 bytes\)"):
        source[6]
    assert source.label(6) is None


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_loader_reads_all_parts(source, folder, num_workers):
    (folder / "cat" / "photo002.png").write_bytes(b"")
    options = _EVALUATION | {"num_workers": num_workers, "max_broken_share": 0.2}
    with make_loader(source, np.arange(7), **options) as loader:
        batches = list(loader)
    indices = np.concatenate([batch["index"] for batch in batches])
    mask = np.concatenate([batch["mask"] for batch in batches])
    images = np.concatenate([batch["image"] for batch in batches])
    assert indices.tolist() == [*range(7), -1, -1]
    assert mask.tolist() == [True, False] + [True] * 5 + [False] * 2
    assert _numbers(images[mask]) == [_NUMBERS[index] for index in indices[mask]]
    assert list(loader.broken) == ["1/cat/photo002.png"]
