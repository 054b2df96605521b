"""Moments of features against NumPy, the Fréchet distance against SciPy's root."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from vgg_unpool_jax.evaluation.frechet import (
    FeatureMoments,
    frechet_distance,
    spatial_mean_features,
)


def moments_of(features):
    moments = FeatureMoments()
    moments.update(features)
    return moments


def correlated(n=200, d=12, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift


def scipys_distance(a, b):
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    apart = np.square(a.mean(0) - b.mean(0)).sum()
    return apart + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)


def test_moments_equal_numpy_and_merge_exactly():
    features = 1e4 + correlated()
    whole, in_turn, merged = moments_of(features), FeatureMoments(), FeatureMoments()
    for batch in np.split(features, [64, 128, 129]):
        in_turn.update(batch)
        merged = merged.merge(moments_of(batch))
    for moments in (whole, in_turn, merged):
        assert moments.count == 200
        np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-13)
        np.testing.assert_allclose(moments.covariance, np.cov(features.T), atol=1e-8)
        np.testing.assert_array_equal(moments.covariance, moments.covariance.T)


def test_merging_leaves_both_sides_alone():
    a, b = moments_of(correlated(seed=0)), moments_of(correlated(seed=1))
    before = a.mean, a.covariance, b.mean, b.covariance
    FeatureMoments().merge(a).merge(b).update(correlated(seed=2))
    a.merge(b).update(correlated(seed=2))
    for old, new in zip(
        before, (a.mean, a.covariance, b.mean, b.covariance), strict=True
    ):
        np.testing.assert_array_equal(old, new)


def test_padding_is_never_looked_at():
    features = correlated(n=6)
    mask = np.array([True, True, False, True, False, True])
    wanted = moments_of(features[mask])
    features[~mask] = np.nan
    found = FeatureMoments()
    found.update(features, mask)
    found.update(features, np.zeros(6, bool))
    assert found.count == 4
    np.testing.assert_array_equal(found.covariance, wanted.covariance)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_distance_equals_scipys_matrix_root(shift):
    a, b = correlated(seed=0), correlated(seed=1, n=150, shift=shift)
    found = frechet_distance(moments_of(a), moments_of(b))
    assert isinstance(found, float)
    np.testing.assert_allclose(found, scipys_distance(a, b), rtol=1e-9)
    other_way = frechet_distance(moments_of(b), moments_of(a))
    np.testing.assert_allclose(found, other_way, rtol=1e-9)


def test_independent_dimensions_have_the_closed_form():
    # Columns ±s around m, uncorrelated by construction: variance s² · n / (n - 1).
    signs = scipy.linalg.hadamard(8)[:, 1:4]
    mean_a, mean_b = np.array([0.0, 1.0, -2.0]), np.array([3.0, 1.0, 0.0])
    std_a, std_b = np.array([1.0, 2.0, 0.5]), np.array([4.0, 2.0, 0.0])
    a, b = mean_a + std_a * signs, mean_b + std_b * signs
    wanted = np.square(mean_a - mean_b).sum()
    wanted += np.square(std_a - std_b).sum() * 8 / 7
    found = frechet_distance(moments_of(a), moments_of(b))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_fewer_photos_than_features_give_a_finite_real_distance():
    a, b = correlated(n=5, d=64, seed=0), correlated(n=7, d=64, seed=1)
    found = frechet_distance(moments_of(a), moments_of(b))
    # For low rank: the trace of the root is the nuclear norm of the product of the
    # centred rows.
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, b))
    wanted = np.square(a.mean(0) - b.mean(0)).sum() + np.square(x).sum()
    wanted += np.square(y).sum() - 2 * np.linalg.norm(x @ y.T, "nuc")
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


@pytest.mark.parametrize("n", [5, 200])
def test_equal_moments_have_distance_zero_and_a_shift_its_square(n):
    features = correlated(n=n, d=40)
    moments = moments_of(features)
    scale = np.trace(moments.covariance)
    assert 0 <= frechet_distance(moments, moments) < 1e-9 * scale
    shifted = moments_of(features + 2.0)
    np.testing.assert_allclose(frechet_distance(moments, shifted), 160, rtol=1e-8)
    same = moments_of(np.ones((3, 4)))
    assert frechet_distance(same, same) == 0


def test_what_has_no_moments_is_refused():
    empty, one = FeatureMoments(), moments_of(np.ones((1, 3)))
    with pytest.raises(ValueError, match="No features were counted"):
        _ = empty.mean
    with pytest.raises(ValueError, match=r"1 row\(s\) .* at least 2"):
        _ = one.covariance
    with pytest.raises(ValueError, match=r"b has 1 row\(s\) of features"):
        frechet_distance(moments_of(np.ones((2, 3))), one)
    with pytest.raises(ValueError, match="a has features of length 3 and b of length"):
        frechet_distance(moments_of(np.ones((2, 3))), moments_of(np.ones((2, 4))))
    with pytest.raises(ValueError, match=r"features has shape \(3,\); wanted \(n, d\)"):
        empty.update(np.ones(3))
    with pytest.raises(ValueError, match="features has 4 columns; wanted 3"):
        one.update(np.ones((2, 4)))
    with pytest.raises(ValueError, match="nan or infinite"):
        one.update(np.array([[0.0, np.nan, 1.0]]))
    with pytest.raises(ValueError, match=r"mask has shape .* int64"):
        one.update(np.ones((2, 3)), np.ones(2, int))


def test_feature_maps_become_rows_by_their_mean_over_places():
    maps = np.random.default_rng(0).normal(size=(2, 5, 3, 4))
    images = jnp.zeros((2, 8, 8, 3))
    features = jax.jit(spatial_mean_features(lambda images: jnp.asarray(maps)))(images)
    assert features.shape == (2, 4) and features.dtype == np.float32
    np.testing.assert_allclose(features, maps.mean((1, 2)), rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match=r"extract returned the shape \(8, 8, 3\)"):
        spatial_mean_features(lambda images: images[0])(images)
