"""Smoothing of what is added to a photo, against dense solutions."""

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization import difference_smoothing
from vgg_unpool_jax.applications.stylization.difference_smoothing import (
    _solve,
    add_smoothed_difference,
    smooth_along,
)
from vgg_unpool_jax.systems.unpooling.shapes import ShapedPrograms


def test_rows_are_solved_exactly():
    generator = np.random.default_rng(0)
    values = generator.standard_normal((7, 2, 3)).astype(np.float32)
    weights = generator.uniform(0, 50, (6, 2)).astype(np.float32)
    found = np.asarray(_solve(values, weights))
    for column in range(2):
        steps = np.diff(np.eye(7), axis=0)
        matrix = np.eye(7) + steps.T @ np.diag(weights[:, column]) @ steps
        expected = np.linalg.solve(matrix, values[:, column])
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-5)


def test_a_constant_difference_is_added_as_it_is():
    guide = np.random.default_rng(1).uniform(0, 200, (30, 40, 3)).astype(np.float32)
    result = add_smoothed_difference(guide, guide + 20)
    np.testing.assert_allclose(result, guide + 20, atol=1e-2)


def test_detail_stays_and_noise_of_the_image_goes():
    generator = np.random.default_rng(2)
    guide = 100 + 3 * generator.standard_normal((80, 80, 3)).astype(np.float32)
    image = 150 + 30 * generator.standard_normal((80, 80, 3)).astype(np.float32)
    result = add_smoothed_difference(guide, image, radius=20)
    assert (result - guide).std() < 3
    assert result.mean() == pytest.approx(150, abs=1)


def test_light_does_not_cross_an_edge():
    guide = np.full((60, 80, 3), 20, np.float32)
    guide[:, 40:] = 230
    image = guide.copy()
    image[:, 40:] -= 100  # the sky becomes darker, the hut before it stays
    result = add_smoothed_difference(guide, image, radius=20)
    assert np.abs(result[:, :40] - guide[:, :40]).max() < 5
    assert np.abs(result[:, 40:] - image[:, 40:]).max() < 5
    # Without a view to the edge it would.
    blurred = add_smoothed_difference(guide, image, radius=20, sigma=1e6)
    assert np.abs(blurred[:, :40] - guide[:, :40]).max() > 30


def test_the_radius_is_the_distance_that_light_spreads():
    guide = np.full((1, 401, 3), 100, np.float32)
    values = np.zeros((1, 401, 1), np.float32)
    values[:, 200] = 1
    spread = []
    for radius in (5, 10):
        found = smooth_along(guide, values, radius=radius)[0, :, 0]
        shares = found / found.sum()
        spread.append(np.sqrt((shares * (np.arange(401) - 200) ** 2).sum()))
    assert spread[1] / spread[0] == pytest.approx(2, rel=0.05)
    assert 5 < spread[0] < 10


@pytest.mark.extended
def test_photos_of_many_sizes_share_programs(monkeypatch):
    generator = np.random.default_rng(3)
    exact, shapes = difference_smoothing._smooth, []

    def traced(options, arrays, size):
        shapes.append(arrays[0].shape)
        return exact(options, arrays, size)

    monkeypatch.setattr(difference_smoothing, "_programs", ShapedPrograms(traced))
    for size in ((8, 9), (9, 8), (40, 1), (33, 60), (64, 63), (50, 50)):
        guide = generator.uniform(0, 255, (*size, 3)).astype(np.float32)
        values = generator.uniform(-90, 90, (*size, 2)).astype(np.float32)
        found = smooth_along(guide, values, radius=7, sigma=300)
        (expected,) = exact((49.0, 300.0), (guide[None], values[None]), None)
        assert found.shape == values.shape
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert shapes == [(1, 8, 9, 3), (1, 9, 8, 3), (1, 64, 64, 3)]


@pytest.mark.parametrize(
    "options,part", [({"radius": -1}, "radius"), ({"sigma": 0}, "sigma positive")]
)
def test_impossible_options_are_refused(options, part):
    with pytest.raises(ValueError, match=part):
        smooth_along(np.zeros((4, 4, 3)), np.zeros((4, 4, 3)), **options)
