"""Broken photos: replaced or left out, counted, named once, and fatal when many."""

import logging

import numpy as np
import pytest

from vgg_unpool_jax.data import make_loader, make_source
from vgg_unpool_jax.errors import BrokenPhotosError

_TRAINING = {
    "batch_size": 4,
    "image_size": 8,
    "crop": "random",
    "seed": 5,
    "shuffle": True,
    "num_epochs": None,
    "max_broken_share": 0.5,
}
_EVALUATION = _TRAINING | {"shuffle": False, "num_epochs": 1, "crop": "center"}


@pytest.fixture
def folder(make_folder):
    """Twelve photos, four of them broken in four ways."""
    folder = make_folder(12)
    whole = (folder / "photo001.png").read_bytes()
    (folder / "photo001.png").write_bytes(whole[: len(whole) // 2])
    (folder / "photo004.png").write_bytes(b"")
    (folder / "photo005.png").write_text("<html>not found</html>")
    return folder


@pytest.fixture
def source(folder):
    source = make_source(f"folder:{folder}")
    (folder / "photo009.png").unlink()
    return source


_BROKEN = {"photo001.png", "photo004.png", "photo005.png", "photo009.png"}


def _read(source, count, **options):
    with make_loader(source, np.arange(len(source)), **options) as loader:
        return [next(loader) for _ in range(count)], loader


def test_training_replaces_broken_photos_and_names_each_once(source, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        batches, loader = _read(source, 12, **_TRAINING)
    indices = np.concatenate([batch["index"] for batch in batches])
    assert all(batch["mask"].all() for batch in batches)
    assert set(indices) == set(range(12)) - {1, 4, 5, 9}
    for batch in batches:
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 2], batch["index"])
    assert set(loader.broken) == _BROKEN
    assert "is empty (0 bytes)" in loader.broken["photo004.png"]
    assert "not an image" in loader.broken["photo005.png"]
    assert "No such file" in loader.broken["photo009.png"]
    messages = [record.getMessage() for record in caplog.records]
    for name, reason in loader.broken.items():
        assert [message for message in messages if name in message] == [
            f"skipped a broken photo: {reason}"
        ]


def test_the_replacement_is_the_next_photo_of_the_epoch(make_folder):
    folder = make_folder(12)
    source = make_source(f"folder:{folder}")
    whole, _ = _read(source, 3, **_TRAINING)
    order = np.concatenate([batch["index"] for batch in whole]).tolist()
    (folder / f"photo{order[6]:03d}.png").write_bytes(b"")
    batches, _ = _read(source, 3, **_TRAINING)
    indices = np.concatenate([batch["index"] for batch in batches]).tolist()
    assert indices == [*order[:6], order[7], *order[7:]]


@pytest.mark.parametrize("options", [{"num_threads": 0}, {"start": 3}])
def test_replacements_are_the_same_for_all_readers(source, options):
    expected, _ = _read(source, 8, **_TRAINING)
    start = options.get("start", 0)
    batches, _ = _read(source, 8 - start, **_TRAINING, **options)
    for one, two in zip(batches, expected[start:], strict=True):
        np.testing.assert_array_equal(one["image"], two["image"])
        np.testing.assert_array_equal(one["index"], two["index"])


@pytest.mark.parametrize("options", [_TRAINING, _EVALUATION])
def test_too_many_broken_photos_stop_the_run(source, options):
    with pytest.raises(BrokenPhotosError) as error:
        _read(source, 30, **options | {"max_broken_share": 0.25})
    message = str(error.value)
    assert "4 of 12 photos" in message and "share of 0.25" in message
    for name in _BROKEN:
        assert name in message
    assert "\n" not in message


def test_without_a_readable_photo_training_stops(make_folder):
    folder = make_folder(3)
    for file in folder.iterdir():
        file.write_bytes(b"")
    source = make_source(f"folder:{folder}")
    with pytest.raises(BrokenPhotosError, match=r"3 of 3 are broken .*photo00"):
        _read(source, 1, **_TRAINING | {"max_broken_share": 1.0})


def test_other_errors_are_not_taken_for_broken_photos(source):
    class Faulty:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            raise ZeroDivisionError("a mistake in a source")

        def name(self, index):
            return str(index)

    with pytest.raises(ZeroDivisionError):
        _read(Faulty(), 1, **_TRAINING)
