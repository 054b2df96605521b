"""Mean and covariance against NumPy's in float64."""

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization.moments import (
    Moments,
    measure_moments,
    merge_all,
    merge_moments,
    merge_regions,
)

H, W, C = 14, 11, 6


def _features(ratio=1.0, seed=0, scale=1.0):
    """Correlated channels of deviation about 2·scale, with means `ratio` times that."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((C, C))
    features = generator.standard_normal((H, W, C)) @ mixing
    return (scale * (features + 2 * ratio)).astype(np.float32)


def _weights(seed=1, count=3):
    weights = np.random.default_rng(seed).uniform(0, 1, (count, H, W))
    weights[0] = weights[0] > 0.5  # a hard one
    return weights.astype(np.float32)


def _oracle(features, weights):
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    shares = [weight.ravel().astype(np.float64) for weight in weights]
    return Moments(
        np.array([share.sum() for share in shares]),
        np.array([np.average(flat, axis=0, weights=share) for share in shares]),
        np.array([np.cov(flat.T, aweights=share, ddof=0) for share in shares]),
    )


def _assert_close(found, wanted, tolerance=1e-5):
    np.testing.assert_allclose(found.weight, wanted.weight, rtol=1e-5)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-5, atol=1e-5)
    scale = np.abs(wanted.covariance).max()
    np.testing.assert_allclose(
        found.covariance, wanted.covariance, rtol=0, atol=tolerance * scale
    )


@pytest.mark.parametrize("ratio", [0.0, 1.0, 1000.0])
def test_moments_are_numpys_also_where_the_mean_dwarfs_the_deviation(ratio):
    features, weights = _features(ratio), _weights()
    wanted = _oracle(features, weights)
    found = measure_moments(features, weights)
    assert {array.dtype for array in found} == {np.dtype(np.float32)}
    _assert_close(found, wanted)
    np.testing.assert_array_equal(found.covariance, np.swapaxes(found.covariance, 1, 2))


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_moments_scale_with_the_features(scale):
    features, weights = _features(), _weights()
    found = measure_moments(scale * features, weights)
    once = measure_moments(features, weights)
    np.testing.assert_allclose(found.mean, scale * once.mean, rtol=1e-4)
    wanted = scale**2 * once.covariance
    error = np.abs(found.covariance - wanted).max()
    assert error < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("ratio", [0.0, 1000.0])
def test_merged_tiles_are_the_whole(ratio):
    features, weights = _features(ratio), _weights()
    weights[2, :5] = 0.0  # not in the first tile
    parts = [
        measure_moments(features[start:stop], weights[:, start:stop])
        for start, stop in ((0, 5), (5, 6), (6, H))
    ]
    assert parts[0].weight[2] == 0.0
    found = merge_all(parts)
    assert found.covariance.dtype == np.float32
    _assert_close(found, _oracle(features, weights))
    # Whatever comes first.
    _assert_close(merge_all(parts[::-1]), _oracle(features, weights))


def test_merging_changes_neither_part():
    parts = [
        Moments(*(np.array(a, np.float64) for a in measure_moments(f, _weights())))
        for f in (_features(seed=2), _features(seed=3))
    ]
    before = [[array.copy() for array in part] for part in parts]
    merge_moments(*parts)
    for part, copies in zip(parts, before, strict=True):
        for array, copy in zip(part, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_regions_taken_together_are_the_whole():
    features, weights = _features(100.0), _weights(count=4)
    found = merge_regions(measure_moments(features, weights))
    assert found.covariance.shape == (1, C, C)
    _assert_close(found, _oracle(features, weights.sum(axis=0, keepdims=True)))


def test_regions_without_weight_are_zeros_and_stay_out_of_the_rest():
    features, weights = _features(), _weights()
    weights[1] = 0.0
    found = measure_moments(features, weights)
    for array in found:
        assert not np.asarray(array)[1].any()
    twice = merge_all([found, found])
    assert twice.weight[1] == 0.0 and not twice.covariance[1].any()
    np.testing.assert_allclose(twice.covariance, found.covariance, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(twice.weight, 2 * found.weight)


def test_one_cell_and_equal_cells_have_no_covariance():
    one = measure_moments(np.full((1, 1, C), 3e3, np.float32), np.ones((1, 1, 1)))
    np.testing.assert_array_equal(one.mean, np.full((1, C), 3e3))
    assert not np.asarray(one.covariance).any()
    flat = measure_moments(np.full((H, W, C), 0.1, np.float32), _weights())
    np.testing.assert_allclose(flat.mean, 0.1, rtol=1e-6)
    assert np.abs(flat.covariance).max() < 1e-14


@pytest.mark.parametrize(
    ("features", "weights", "message"),
    [
        ((4, 5), (1, 4, 5), "features must have shape"),
        ((4, 0, 3), (1, 4, 0), "features must have shape"),
        ((4, 5, 3), (4, 5), r"weights must have shape \(regions, 4, 5\)"),
        ((4, 5, 3), (1, 5, 4), r"weights must have shape \(regions, 4, 5\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(features, weights, message):
    with pytest.raises(ValueError, match=message):
        measure_moments(np.ones(features), np.ones(weights))
