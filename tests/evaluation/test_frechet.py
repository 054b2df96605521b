"""The Fréchet distance against SciPy's matrix root and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from vgg_unpool_jax.evaluation.frechet import (
    frechet_distance,
    spatial_mean_features,
)


def correlated(n=200, d=12, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift


def scipys_distance(a, b):
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    apart = np.square(a.mean(0) - b.mean(0)).sum()
    return apart + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_distance_equals_scipys_matrix_root(shift):
    a, b = correlated(seed=0), correlated(seed=1, n=150, shift=shift)
    found = frechet_distance(a, b)
    assert isinstance(found, float)
    np.testing.assert_allclose(found, scipys_distance(a, b), rtol=1e-9)
    other_way = frechet_distance(b, a)
    np.testing.assert_allclose(found, other_way, rtol=1e-9)


def test_independent_dimensions_have_the_closed_form():
    # Columns ±s around m, uncorrelated by construction: variance s² · n / (n - 1).
    signs = scipy.linalg.hadamard(8)[:, 1:4]
    mean_a, mean_b = np.array([0.0, 1.0, -2.0]), np.array([3.0, 1.0, 0.0])
    std_a, std_b = np.array([1.0, 2.0, 0.5]), np.array([4.0, 2.0, 0.0])
    a, b = mean_a + std_a * signs, mean_b + std_b * signs
    wanted = np.square(mean_a - mean_b).sum()
    wanted += np.square(std_a - std_b).sum() * 8 / 7
    found = frechet_distance(a, b)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_fewer_photos_than_features_give_a_finite_real_distance():
    a, b = correlated(n=5, d=64, seed=0), correlated(n=7, d=64, seed=1)
    found = frechet_distance(a, b)
    # For low rank: the trace of the root is the nuclear norm of the product of the
    # centred rows.
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, b))
    wanted = np.square(a.mean(0) - b.mean(0)).sum() + np.square(x).sum()
    wanted += np.square(y).sum() - 2 * np.linalg.norm(x @ y.T, "nuc")
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


@pytest.mark.parametrize("n", [5, 200])
def test_equal_moments_have_distance_zero_and_a_shift_its_square(n):
    features = correlated(n=n, d=40)
    scale = np.trace(np.cov(features.T))
    assert 0 <= frechet_distance(features, features) < 1e-9 * scale
    shifted = frechet_distance(features, features + 2.0)
    np.testing.assert_allclose(shifted, 160, rtol=1e-8)
    same = np.ones((3, 4))
    assert frechet_distance(same, same) == 0


def test_feature_maps_become_rows_by_their_mean_over_places():
    maps = np.random.default_rng(0).normal(size=(2, 5, 3, 4))
    images = jnp.zeros((2, 8, 8, 3))
    features = jax.jit(spatial_mean_features(lambda images: jnp.asarray(maps)))(images)
    assert features.shape == (2, 4) and features.dtype == np.float32
    np.testing.assert_allclose(features, maps.mean((1, 2)), rtol=1e-5, atol=1e-7)
