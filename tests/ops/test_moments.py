"""Mean and covariance against NumPy's in float64."""

import numpy as np
import pytest

from vgg_unpool_jax.ops.moments import (
    Moments,
    measure_sets,
    merge_moments,
    merge_sets,
    to_float32,
)


def measure_moments(samples, weights=None) -> Moments:
    """Moments of one set of samples, in float64.

    Args:
      samples: (n, c), any real dtype.
      weights: (n,) of the samples, non-negative; None weights all by 1.

    Returns:
      Moments without leading axes; zeros for samples without any weight.
    """
    samples = np.asarray(samples, np.float64)
    weights = np.ones(len(samples)) if weights is None else np.asarray(weights)
    count = weights.sum(dtype=np.float64)
    share = weights / (count or 1.0)
    mean = share @ samples
    centred = samples - mean
    return Moments(count, mean, (centred.T * share) @ centred)


N, C = 154, 6


def _features(ratio=1.0, seed=0, scale=1.0):
    """Correlated channels of deviation about 2·scale, with means `ratio` times that."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((C, C))
    features = generator.standard_normal((N, C)) @ mixing
    return (scale * (features + 2 * ratio)).astype(np.float32)


def _weights(seed=1, count=3):
    weights = np.random.default_rng(seed).uniform(0, 1, (count, N))
    weights[0] = weights[0] > 0.5  # a hard set
    return weights.astype(np.float32)


def _oracle(features, weights):
    samples, weights = features.astype(np.float64), weights.astype(np.float64)
    return Moments(
        weights.sum(axis=1),
        np.array([np.average(samples, axis=0, weights=each) for each in weights]),
        np.array([np.cov(samples.T, aweights=each, ddof=0) for each in weights]),
    )


def _assert_close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found.count, expected.count, rtol=1e-5)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
    scale = np.abs(expected.covariance).max()
    np.testing.assert_allclose(
        found.covariance, expected.covariance, rtol=0, atol=tolerance * scale
    )


@pytest.mark.parametrize("ratio", [0.0, 1.0, 1000.0])
def test_moments_are_numpys_also_where_the_mean_dwarfs_the_deviation(ratio):
    features, weights = _features(ratio), _weights()
    expected = _oracle(features, weights)
    found = measure_sets(features, weights)
    assert {array.dtype for array in found} == {np.dtype(np.float32)}
    _assert_close(found, expected)
    np.testing.assert_array_equal(found.covariance, np.swapaxes(found.covariance, 1, 2))
    for index, weight in enumerate(weights):
        on_host = measure_moments(features, weight)
        assert on_host.covariance.dtype == np.float64
        for array, other in zip(on_host, expected, strict=True):
            np.testing.assert_allclose(array, other[index], rtol=1e-9, atol=1e-9)
    unweighted = measure_moments(features)
    np.testing.assert_allclose(
        unweighted.covariance, np.cov(features.T.astype(np.float64), ddof=0), rtol=1e-9
    )
    assert unweighted.count == N


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_moments_scale_with_the_features(scale):
    features, weights = _features(), _weights()
    found = measure_sets(scale * features, weights)
    once = measure_sets(features, weights)
    np.testing.assert_allclose(found.mean, scale * once.mean, rtol=1e-4)
    expected = scale**2 * once.covariance
    error = np.abs(found.covariance - expected).max()
    assert error < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("ratio", [0.0, 1000.0])
def test_merged_parts_are_the_whole(ratio):
    features, weights = _features(ratio), _weights()
    weights[2, :50] = 0.0  # not in the first part
    first, second, third = (
        measure_sets(features[start:stop], weights[:, start:stop])
        for start, stop in ((0, 50), (50, 61), (61, N))
    )
    assert first.count[2] == 0.0
    expected = _oracle(features, weights)
    _assert_close(merge_moments(merge_moments(first, second), third), expected)
    _assert_close(merge_moments(third, merge_moments(second, first)), expected)


def test_merging_takes_any_leading_axes_and_changes_neither_part():
    features = _features()
    parts = [measure_moments(part) for part in (features[:40], features[40:])]
    before = [[array.copy() for array in part] for part in parts]
    found = merge_moments(*parts)
    expected = measure_moments(features)
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-9)
    for part, copies in zip(parts, before, strict=True):
        for array, copy in zip(part, copies, strict=True):
            np.testing.assert_array_equal(array, copy)
    twice = [
        Moments(*(np.stack([array] * 2)[None] for array in part)) for part in parts
    ]
    merged = merge_moments(*twice)
    assert merged.covariance.shape == (1, 2, C, C)
    np.testing.assert_array_equal(merged.covariance[0, 1], found.covariance)


def test_sets_taken_together_are_the_whole():
    features, weights = _features(100.0), _weights(count=4)
    found = merge_sets(measure_sets(features, weights))
    assert found.covariance.shape == (1, C, C)
    _assert_close(found, _oracle(features, weights.sum(axis=0, keepdims=True)))


def test_sets_without_weight_are_zeros_and_stay_out_of_the_rest():
    features, weights = _features(), _weights()
    weights[1] = 0.0
    found = measure_sets(features, weights)
    on_host = measure_moments(features, weights[1])
    for array, other in zip(found, on_host, strict=True):
        assert not np.asarray(array)[1].any() and not np.any(other)
    twice = to_float32(merge_moments(found, found))
    assert twice.count[1] == 0.0 and not twice.covariance[1].any()
    np.testing.assert_allclose(twice.covariance, found.covariance, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(twice.count, 2 * found.count)


def test_one_sample_and_equal_samples_have_no_covariance():
    one = measure_sets(np.full((1, C), 3e3, np.float32), np.ones((1, 1)))
    np.testing.assert_array_equal(one.mean, np.full((1, C), 3e3))
    assert not np.asarray(one.covariance).any()
    flat = measure_sets(np.full((N, C), 0.1, np.float32), _weights())
    np.testing.assert_allclose(flat.mean, 0.1, rtol=1e-6)
    assert np.abs(flat.covariance).max() < 1e-14
