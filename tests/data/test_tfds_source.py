"""TFDS data sets, prepared here in the file format that allows random access."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import make_loader, make_source
from vgg_unpool_jax.data.tfds_source import TfdsSource
from vgg_unpool_jax.errors import PhotoError, SourceError

_PREPARE = """
import io, sys
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def encoded(number, mode):
    photo = Image.new("RGB", (20 + number, 30), (number * 10, 50, 90)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    photo.save(file, "PNG", exif=exif)
    file.seek(0)
    return file


class Base(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    IMAGE = tfds.features.Image(encoding_format="png")

    LABEL = tfds.features.Scalar(np.int64)

    def _info(self):
        features = {"image": self.IMAGE, "label": self.LABEL}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples(6), "test": self._generate_examples(3)}

    def _generate_examples(self, count):
        for number in range(count):
            yield number, {"image": self.example(number), "label": self.label(number)}

    def label(self, number):
        return number

    def example(self, number):
        return encoded(number, "L" if number == 5 else "RGB")


class TinyPhotos(Base):
    pass


class TinyVectors(Base):
    IMAGE = tfds.features.Tensor(shape=(3,), dtype=np.float32)

    def example(self, number):
        return np.zeros(3, np.float32)


class TinyClasses(Base):
    LABEL = tfds.features.ClassLabel(names=["ant", "bee", "cat"])

    def label(self, number):
        # The last photo has no class.
        return -1 if number == 5 else number % 3


for builder in (TinyPhotos, TinyVectors, TinyClasses):
    builder(data_dir=sys.argv[1], file_format="array_record").download_and_prepare()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Folder with the prepared data sets tiny_photos, tiny_vectors and others."""
    pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    folder = tmp_path_factory.mktemp("tfds")
    # In another process, so that TFDS does not know the builders' classes here and has
    # to read what is on the disk.
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE, str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"TFDS cannot write array_record here: {done.stderr[-300:]}")
    return folder


@pytest.fixture(autouse=True)
def _environment(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))


def _blue_ramp(source):
    """Numbers of the photos, from the red channel; the grey one is odd."""
    return sorted(int(source[index][0, 0, 0]) for index in range(len(source)))


def test_photos_of_a_split_are_decoded_by_our_rules():
    source = make_source("tfds:tiny_photos")
    assert len(source) == 6
    grey = Image.new("RGB", (1, 1), (50, 50, 90)).convert("L").getpixel((0, 0))
    assert _blue_ramp(source) == sorted([0, 10, 20, 30, 40, grey])
    for index in range(6):
        # EXIF orientation 6 turns 30 rows of 20 to 25 pixels by a quarter.
        height, width, channels = source[index].shape
        assert width == 30 and 20 <= height <= 25 and channels == 3
    assert len({source.name(index) for index in range(6)}) == 6
    assert source.name(2) == "tiny_photos/train/2"


@pytest.mark.parametrize(
    "spec, count",
    [
        ("tiny_photos:test", 3),
        ("tiny_photos:train[1:3]", 2),
        ("tiny_photos:1.*.*:test", 3),
    ],
)
def test_splits_slices_and_versions(spec, count):
    source = make_source(f"tfds:{spec}")
    assert len(source) == count
    assert source[count - 1].dtype == np.uint8


def test_tensorflow_is_not_needed(data_dir):
    script = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Without:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.split('.')[0] != 'tensorflow':\n"
        "            return PathFinder.find_spec(name, path, target)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Without\n"
        "from vgg_unpool_jax.data import make_source\n"
        "source = make_source('tfds:tiny_classes:test')\n"
        "print(source[0].shape[2], sorted(source.label(i) for i in range(3)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "3 ['ant', 'bee', 'cat']\n", done.stderr


def test_workers_read_the_same(monkeypatch, data_dir):
    source = TfdsSource("tiny_photos", data_dir=str(data_dir))
    monkeypatch.delenv("TFDS_DATA_DIR")
    options = {"image_size": 8, "crop": "center", "seed": 0, "shuffle": False}
    batches = []
    for workers in (0, 1):
        with make_loader(
            source, range(6), batch_size=6, num_epochs=1, num_workers=workers, **options
        ) as loader:
            batches += list(loader)
    assert len(batches) == 2
    np.testing.assert_array_equal(batches[0]["image"], batches[1]["image"])


@pytest.mark.parametrize(
    "spec, words",
    [
        ("tiny_photos:vali", r"split 'vali' .*tiny_photos .*Unknown split"),
        ("nonsense", r"nonsense cannot be opened .*not found.*array_record"),
        ("mnist", r"mnist is not prepared .*download_and_prepare\(file_format="),
        ("tiny_vectors", "no photos in a feature `image`; .*label"),
    ],
)
def test_unusable_data_sets_are_refused_with_one_sentence(spec, words):
    with pytest.raises(SourceError, match=words) as error:
        make_source(f"tfds:{spec}")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("damage", ["flipped bits", "cut off", "vanished"])
def test_damaged_records_are_broken_photos(data_dir, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(data_dir, copy)
    file = next((copy / "tiny_classes" / "1.0.0").glob("*-train.array_record-*"))
    source = TfdsSource("tiny_classes", data_dir=str(copy))
    data = np.fromfile(file, np.uint8)
    if damage == "flipped bits":
        used = np.flatnonzero(data)
        data[used[len(used) // 2 : -100]] ^= 0x5A
        data.tofile(file)
    elif damage == "cut off":
        data[: len(data) // 2].tofile(file)
    else:
        file.unlink()
    for index in range(6):
        for read in (source.__getitem__, source.label):
            with pytest.raises(PhotoError, match=f"tiny_classes/train/{index} "):
                read(index)


def _number(source, index):
    """Number of the photo, from which its label was made, read from its size."""
    return source[index].shape[0] - 20


def test_the_label_is_the_name_of_the_class():
    source = make_source("tfds:tiny_classes")
    names = ["ant", "bee", "cat", "ant", "bee", None]
    labels = [source.label(index) for index in range(6)]
    assert labels == [names[_number(source, index)] for index in range(6)]
    assert sorted(map(str, labels)) == ["None", "ant", "ant", "bee", "bee", "cat"]
    copy = pickle.loads(pickle.dumps(source))
    assert [copy.label(index) for index in range(6)] == labels
