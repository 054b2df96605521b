"""Photos kept in memory."""

import pickle

import ml_collections
import numpy as np
import pytest

from vgg_unpool_jax.data import open_splits
from vgg_unpool_jax.data.cached import CachedSource
from vgg_unpool_jax.errors import PhotoError


class Counting:
    """Photos of 600 kB, the last of which is broken; counts how often each is read."""

    def __init__(self):
        self.reads = [0, 0, 0, 0]

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.reads[index] += 1
        if index == 3:
            raise PhotoError("photo 3 is damaged")
        return np.full((400, 500, 3), index, np.uint8)

    def name(self, index):
        return f"{index}.jpg"

    def label(self, index):
        return None

    def __repr__(self):
        return "counted photos"


def test_photos_are_read_once_as_far_as_they_fit():
    source = Counting()
    cached = CachedSource(source, megabytes=1)
    for _ in range(3):
        for index in range(3):
            photo = cached[index]
            assert photo.shape == (400, 500, 3) and (photo == index).all()
    # One of 600 kB fits into a megabyte, the others are read every time.
    assert source.reads == [1, 3, 3, 0]
    assert (len(cached), cached.name(1), cached.label(1)) == (4, "1.jpg", None)
    assert repr(cached) == repr(source)


def test_reader_processes_begin_with_an_empty_cache():
    cached = CachedSource(Counting(), megabytes=9)
    before = len(pickle.dumps(cached))
    assert (cached[1] == 1).all()
    copy = pickle.loads(pickle.dumps(cached))
    assert len(pickle.dumps(cached)) == pytest.approx(before, abs=50)
    assert (copy[2] == 2).all()


def test_a_config_says_how_much_is_kept(make_folder):
    folder = make_folder(10)

    def source(**fields):
        config = {"source": f"folder:{folder}", **fields}
        config |= {"split_fractions": (0.5, 0.3, 0.2), "split_seed": 4}
        return open_splits(ml_collections.ConfigDict(config))["train"].source

    cached = source(cache_megabytes=3)
    assert cached[0] is cached[0]
    assert not isinstance(source(cache_megabytes=0), CachedSource)
    assert not isinstance(source(), CachedSource)  # as in older runs
