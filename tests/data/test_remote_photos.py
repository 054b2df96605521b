"""Photos in gs://: the same as in a folder, a request each."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from vgg_unpool_jax.data import make_loader, make_source
from vgg_unpool_jax.errors import ConfigError, PhotoError, SourceError


def _upload(bucket, folder, prefix):
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            bucket.put(f"{prefix}/{name}", path.read_bytes())


@pytest.fixture
def photos(make_folder, bucket):
    """A local folder of 70 photos, of which the bucket has a copy."""
    folder = make_folder(70)
    (folder / "deep" / "er").mkdir(parents=True)
    for name, odd in (("photo000.png", "b #?%.png"), ("photo001.png", "er/ü.png")):
        (folder / name).rename(folder / "deep" / odd)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no photo")
    _upload(bucket, folder, "photos")
    bucket.put("photos/empty/", b"")  # how some programs write a folder
    bucket.put("photos2/other.png", b"")
    return folder


@pytest.fixture
def zipped(photos, bucket, tmp_path):
    """The same photos in a zip file, some of them compressed."""
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, file in enumerate(sorted(photos.rglob("*.png"))):
            kind = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.write(file, file.relative_to(photos).as_posix(), kind)
    bucket.put("photos.zip", path.read_bytes())
    return path


def _assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for index in range(len(theirs)):
        assert ours.name(index) == theirs.name(index)
        assert ours.label(index) == theirs.label(index)
        np.testing.assert_array_equal(ours[index], theirs[index])


def test_a_remote_folder_is_as_a_local_one(photos, bucket):
    remote = make_source("folder:gs://bucket/photos/")
    assert repr(remote) == "folder gs://bucket/photos"
    _assert_same(remote, make_source(f"folder:{photos}"))
    bucket.requests.clear()
    _ = remote[5]
    assert len(bucket.requests) == 1


def test_a_remote_zip_file_is_as_a_local_one(zipped, bucket):
    remote = make_source("zip:gs://bucket/photos.zip")
    _assert_same(remote, make_source(f"zip:{zipped}"))
    bucket.requests.clear()
    _ = remote[5], remote[6]
    assert len(bucket.requests) == 2
    _assert_same(pickle.loads(pickle.dumps(remote)), make_source(f"zip:{zipped}"))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders_deliver_the_same(photos, zipped, num_workers):
    def batches(spec):
        source = make_source(spec)
        options = {"image_size": 16, "crop": "random", "shuffle": True, "seed": 1}
        options |= {"num_epochs": 1, "batch_size": 10}
        with make_loader(
            source, np.arange(len(source)), num_workers=num_workers, **options
        ) as loader:
            return [batch["image"] for batch in loader]

    local = batches(f"folder:{photos}")
    assert len(local) > 3
    for spec in ("folder:gs://bucket/photos", "zip:gs://bucket/photos.zip"):
        np.testing.assert_array_equal(batches(spec), local)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("folder:gs://bucket/none", SourceError, "none does not exist or is empty"),
        ("folder:gs://bucket/file.txt", SourceError, "file.txt is not a folder"),
        ("folder:gs://bucket/texts", SourceError, "texts holds no photo"),
        ("folder:gs://other/photos", ConfigError, "there is no bucket other"),
        ("folder:s3://bucket/photos", ConfigError, "s3://bucket/photos cannot be used"),
        ("zip:gs://bucket/none.zip", SourceError, "none.zip does not exist"),
        ("zip:gs://bucket/file.txt", SourceError, "is no zip file or is cut off"),
        ("zip:gs://bucket/texts", SourceError, "texts cannot be read: Is a dir"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(bucket, spec, error, words):
    bucket.put("file.txt", b"no zip")
    bucket.put("texts/a.txt", b"no photo")
    with pytest.raises(error, match=words) as caught:
        make_source(spec)
    assert "\n" not in str(caught.value)


def test_a_photo_that_vanished_or_is_forbidden_is_named(photos, zipped, bucket):
    folder = make_source("folder:gs://bucket/photos")
    archive = make_source("zip:gs://bucket/photos.zip")
    _ = archive[0]
    index = next(i for i in range(len(folder)) if folder.name(i) == "photo009.png")
    del bucket.objects["photos/photo009.png"]
    with pytest.raises(PhotoError, match=r"photo009.png cannot be read: No such file"):
        _ = folder[index]
    bucket.forbidden = "^photos"
    for source in (folder, archive):
        with pytest.raises(PhotoError, match=r"photo012.png.*be read: gs.*: Forbidden"):
            _ = source[index + 3]
