"""The split: counts, disjointness, reproducibility."""

import numpy as np
import pytest

from vgg_unpool_jax.data import split_indices


def test_counts_of_coco_unlabeled():
    split = split_indices(123403, seed=0)
    assert [len(part) for part in split] == [111063, 11106, 1234]
    assert split.train is split[0]
    assert split.validation is split[1]
    assert split.test is split[2]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 10, 15, 99, 1134])
@pytest.mark.parametrize("fractions", [(0.9, 0.09, 0.01), (0.5, 0.5, 0.0), (1, 0, 0)])
def test_every_photo_is_in_exactly_one_part(count, fractions):
    split = split_indices(count, fractions, seed=3)
    assert all(part.dtype == np.int64 for part in split)
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(count))
    assert len(split.train) == round(count * fractions[0])


def test_the_seed_decides():
    first, again = split_indices(500, seed=7), split_indices(500, seed=7)
    other = split_indices(500, seed=8)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.train, other.train)
    assert not np.array_equal(first.train, np.sort(first.train))
