"""Correlations against SciPy and NumPy: sets, photos, flat images."""

import math

import jax
import numpy as np
import pytest
import scipy.stats

from vgg_unpool_jax.evaluation.correlation import (
    photo_pair_moments,
    photo_pcc,
    set_correlation,
)


def image_pair(n=7, size=(5, 6), seed=0, noise=40.0):
    rng = np.random.default_rng(seed)
    # Every photo has its own brightness: that is what the correlation of a set sees
    # and the mean of the photos' correlations does not.
    targets = rng.uniform(0, 60, (n, *size, 3)) + rng.uniform(0, 190, (n, 1, 1, 1))
    predictions = targets + noise * rng.normal(size=targets.shape)
    return predictions.clip(0, 255).astype(np.float32), targets.astype(np.float32)


def of_set(predictions, targets):
    return set_correlation(jax.jit(photo_pair_moments)(predictions, targets))


def pearson(predictions, targets):
    x, y = (np.asarray(images, np.float64).ravel() for images in (predictions, targets))
    return scipy.stats.pearsonr(x, y).statistic


@pytest.mark.parametrize("noise", [0.01, 5.0, 200.0])
def test_the_correlation_of_a_set_equals_scipy_on_all_its_values(noise):
    predictions, targets = image_pair(noise=noise)
    found, expected = of_set(predictions, targets), pearson(predictions, targets)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    expected = pearson(255 - predictions, targets)
    assert expected < 0
    np.testing.assert_allclose(of_set(255 - predictions, targets), expected, rtol=1e-6)


def test_hand_computed_correlation():
    predictions = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    targets = np.array([1.0, 2.0, 2.0]).reshape(1, 1, 1, 3)
    # Σxy = 1, Σx² = 2, Σy² = 2/3 around the means: 1 / sqrt(4/3).
    expected = math.sqrt(3) / 2
    assert math.isclose(of_set(predictions, targets), expected, rel_tol=1e-6)
    np.testing.assert_allclose(photo_pcc(predictions, targets), [expected], rtol=1e-6)


def test_it_is_not_the_mean_of_the_photos_correlations():
    predictions, targets = image_pair()
    assert of_set(predictions, targets) > np.mean(photo_pcc(predictions, targets)) + 0.2


@pytest.mark.parametrize("flat", [0.1, 255.0])
def test_a_set_without_contrast_has_no_correlation(flat):
    predictions, targets = image_pair(n=3)
    same = np.full(targets.shape, flat, np.float32)
    for pair in ((same, targets), (predictions, same), (same, same)):
        assert math.isnan(of_set(*pair))


def test_broken_values_stay_visible():
    predictions, targets = image_pair(n=2)
    for broken in (np.nan, np.inf):
        predictions[0, 0, 0, 0] = broken
        assert math.isnan(of_set(predictions, targets))


def test_each_photo_has_scipys_correlation():
    predictions, targets = image_pair()
    found = photo_pcc(predictions, targets)
    assert found.dtype == np.float32
    wanted = [pearson(x, y) for x, y in zip(predictions, targets, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    np.testing.assert_allclose(photo_pcc(targets, targets), 1, rtol=1e-6)
    np.testing.assert_allclose(photo_pcc(-targets, targets), -1, rtol=1e-6)


@pytest.mark.parametrize("flat", [0.1, 255.0])
def test_a_photo_without_contrast_correlates_with_nothing(flat):
    predictions, targets = image_pair(n=3, size=(33, 35))
    predictions[1] = flat
    found = photo_pcc(predictions, targets)
    assert found[1] == 0 and min(found[0], found[2]) > 0.2
    assert photo_pcc(targets, predictions)[1] == 0
    assert photo_pcc(predictions, predictions)[1] == 0
