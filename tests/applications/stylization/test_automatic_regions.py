"""Regions that two photos have in common, found from their features."""

import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.automatic_regions import (
    automatic_regions,
    refine_regions,
    region_likeness,
)
from vgg_unpool_jax.applications.stylization.regions import Regions, match_regions


def _features(labels, seed, noise=0.05):
    """Features of contrasts from 1 to 5 around a direction for each label."""
    directions = np.random.default_rng(0).normal(size=(3, 64))
    random = np.random.default_rng(seed)
    features = directions[labels] + noise * random.normal(size=(*labels.shape, 64))
    return (features * random.uniform(1, 5, (*labels.shape, 1))).astype(np.float32)


def _bands(height, width, order):
    return np.array(order)[np.arange(height) * len(order) // height][:, None] * np.ones(
        (1, width), int
    )


def test_clusters_are_found_whatever_their_contrast_and_shared_by_both():
    content, style = _bands(15, 20, [0, 1, 2]), _bands(18, 11, [2, 0, 1])
    one, other = automatic_regions(_features(content, 1), _features(style, 2))
    assert one.names == other.names == ("0", "1", "2")
    assert one.shape == (15, 20) and other.shape == (18, 11)
    found, theirs = one.coverage.argmax(2), other.coverage.argmax(2)
    partner = {}
    for labels, names in ((content, found), (style, theirs)):
        for name in range(3):
            here = np.unique(names[labels == name])
            assert len(here) == 1
            assert partner.setdefault(name, here[0]) == here[0]
    assert len(set(partner.values())) == 3
    assert one.coverage.max(axis=2).min() > 0.9


def test_the_same_seed_gives_the_same_and_jax_arrays_are_taken():
    random = np.random.default_rng(3)
    first, second = random.uniform(0, 1, (2, 9, 10, 16)).astype(np.float32)
    one = automatic_regions(first, second, count=4, seed=5)
    again = automatic_regions(jnp.asarray(first), second, count=4, seed=5)
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a.coverage, b.coverage)
    other = automatic_regions(first, second, count=4, seed=6)[0]
    assert np.abs(other.coverage - one[0].coverage).max() > 0.1


def test_a_region_that_one_side_lacks_falls_back():
    content, style = _bands(15, 20, [0, 1, 2]), _bands(15, 20, [0, 1])
    one, other = automatic_regions(_features(content, 1), _features(style, 2))
    matching = match_regions(one, other.names, other.areas())
    assert matching.pairs == (0, 1, -1)
    assert "region 2: in the content alone" in matching.sentences[0]


def test_photos_of_one_colour_have_regions_too():
    flat = np.zeros((4, 5, 8), np.float32)
    one, _ = automatic_regions(flat, flat, count=2)
    np.testing.assert_allclose(one.coverage.sum(axis=2), 1, atol=1e-5)


def test_refined_regions_follow_the_edges_of_the_photo():
    photo = np.full((48, 64, 3), 30, np.uint8)
    photo[:, 29:] = 220  # inside of the cell of columns 24 to 31
    labels = np.repeat([[0] * 4 + [1] * 4], 6, axis=0)
    coarse = Regions(("a", "b"), coverage=np.eye(2)[labels])
    fine = refine_regions(coarse, photo)
    assert fine.shape == (48, 64)
    np.testing.assert_array_equal(
        fine.coverage[24].argmax(1), (np.arange(64) >= 29).astype(int)
    )
    np.testing.assert_allclose(fine.coverage.sum(axis=2), 1, atol=1e-5)


def test_refined_regions_leave_no_halo_of_a_cell_around_an_object():
    random = np.random.default_rng(0)
    photo = random.normal(70, 6, (160, 160, 3))
    inside = np.zeros((160, 160), bool)
    inside[60:100, 60:100] = True
    photo[inside] += (90, 60, 20)
    cells = np.zeros((10, 10), int)  # of 16 pixels, 12 of them beside the object
    cells[3:7, 3:7] = 1
    coarse = Regions(("ground", "object"), coverage=np.eye(2)[cells])
    fine = refine_regions(coarse, np.clip(photo, 0, 255)).coverage[..., 1]
    assert fine[inside].mean() > 0.95
    assert fine[~inside].mean() < 0.02  # of 0.1


def test_regions_of_the_same_colours_are_those_of_the_padded_grid():
    rows = np.linspace(0, 1, 21)[:, None] * np.ones((1, 4))
    coarse = Regions(("a", "b"), coverage=np.stack([rows, 1 - rows], axis=2))
    photo = np.full((164, 32, 3), 100, np.uint8)
    fine = refine_regions(coarse, photo, covers=(20.5, 4)).coverage[..., 0]
    # Cells of 8 pixels, whose centres are a twentieth apart.
    expected = (np.arange(24, 130) - 3.5) / 160
    np.testing.assert_allclose(fine[24:130, 5], expected, atol=1e-3)


def test_regions_are_alike_where_both_sides_show_the_same():
    directions = np.eye(4, dtype=np.float32)
    halfway = directions[1] + np.sqrt(1 / 0.55**2 - 1) * directions[3]
    sides = []
    for second in (directions[1], halfway):
        rows = [directions[0], 3 * second, directions[2]]
        sides.append(np.repeat(np.stack(rows)[:, None], 5, axis=1))
    labels = np.repeat(np.arange(3)[:, None], 5, axis=1)
    names, eye = ("0", "1", "2"), np.eye(3)
    ours = Regions(names, coverage=eye[labels])
    alike = region_likeness(sides, [ours, ours])
    np.testing.assert_allclose(alike, [1, 0.5, 1], atol=1e-5)  # cosines 1, 0.55, 1
    others = Regions(names, coverage=eye[np.minimum(labels, 1)])
    alike = region_likeness(sides, [ours, others])
    assert alike[0] == 1 and alike[2] == 0  # which the other side lacks
