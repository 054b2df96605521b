"""A photo folder in gs://: the same photos as on this machine, one request each."""

import pathlib

import numpy as np
import pytest

from vgg_unpool_jax.data import make_loader, make_source
from vgg_unpool_jax.errors import ConfigError, PhotoError, SourceError, UserError


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


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders_deliver_the_same(photos, num_workers):
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
    np.testing.assert_array_equal(batches("folder:gs://bucket/photos"), local)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("folder:gs://bucket/none", SourceError, "none holds no photo"),
        ("folder:gs://other/photos", ConfigError, "there is no bucket other"),
        ("folder:s3://bucket/photos", ConfigError, "s3://bucket/photos cannot be used"),
        ("zip:gs://bucket/photos.zip", UserError, "must be copied to this machine"),
    ],
)
def test_other_addresses_are_refused_in_one_sentence(bucket, spec, error, words):
    bucket.put("texts/a.txt", b"no photo")
    with pytest.raises(error, match=words) as caught:
        make_source(spec)
    assert "\n" not in str(caught.value)


def test_a_missing_or_forbidden_photo_is_named(photos, bucket):
    folder = make_source("folder:gs://bucket/photos")
    index = next(i for i in range(len(folder)) if folder.name(i) == "photo009.png")
    del bucket.objects["photos/photo009.png"]
    with pytest.raises(PhotoError, match=r"photo009.png cannot be read: No such file"):
        _ = folder[index]
    bucket.forbidden = "^photos"
    with pytest.raises(PhotoError, match=r"photo012.png.*be read: gs.*: Forbidden"):
        _ = folder[index + 3]
