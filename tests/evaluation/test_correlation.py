"""Correlations against SciPy and NumPy: sets, photos, merging, flat images."""

import json
import math

import jax
import numpy as np
import pytest
import scipy.stats

from vgg_unpool_jax.evaluation.correlation import (
    CorrelationSums,
    photo_pair_moments,
    photo_pcc,
)


def image_pair(n=7, size=(5, 6), seed=0, noise=40.0):
    rng = np.random.default_rng(seed)
    # Every photo has its own brightness: that is what the correlation of a set sees
    # and the mean of the photos' correlations does not.
    targets = rng.uniform(0, 60, (n, *size, 3)) + rng.uniform(0, 190, (n, 1, 1, 1))
    predictions = targets + noise * rng.normal(size=targets.shape)
    return predictions.clip(0, 255).astype(np.float32), targets.astype(np.float32)


def sums_of(predictions, targets, mask=None):
    sums = CorrelationSums()
    sums.update(predictions, targets, mask)
    return sums


def pearson(predictions, targets):
    x, y = (np.asarray(images, np.float64).ravel() for images in (predictions, targets))
    return scipy.stats.pearsonr(x, y).statistic


@pytest.mark.parametrize("noise", [0.01, 5.0, 200.0])
def test_the_correlation_of_a_set_equals_scipy_on_all_its_values(noise):
    predictions, targets = image_pair(noise=noise)
    sums = sums_of(predictions, targets)
    assert sums.values == predictions.size
    np.testing.assert_allclose(sums.value(), pearson(predictions, targets), rtol=1e-12)
    wanted = pearson(255 - predictions, targets)
    assert wanted < 0
    found = sums_of(255 - predictions, targets).value()
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_hand_computed_correlation():
    predictions = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    targets = np.array([1.0, 2.0, 2.0]).reshape(1, 1, 1, 3)
    # Σxy = 1, Σx² = 2, Σy² = 2/3 around the means: 1 / sqrt(4/3).
    wanted = math.sqrt(3) / 2
    assert math.isclose(sums_of(predictions, targets).value(), wanted, rel_tol=1e-14)
    np.testing.assert_allclose(photo_pcc(predictions, targets), [wanted], rtol=1e-6)


def test_the_range_of_the_images_does_not_matter():
    predictions, targets = image_pair()
    in_bytes = sums_of(predictions, targets).value()
    around_zero = sums_of(predictions / 127.5 - 1, targets / 127.5 - 1).value()
    np.testing.assert_allclose(around_zero, in_bytes, rtol=1e-6)


def test_merging_equals_counting_at_once_and_leaves_both_sides_alone():
    predictions, targets = image_pair(n=9)
    whole = sums_of(predictions, targets).value()
    in_turn, merged = CorrelationSums(), CorrelationSums()
    for part in (slice(0, 4), slice(4, 8), slice(8, 9)):
        in_turn.update(predictions[part], targets[part])
        merged = merged.merge(sums_of(predictions[part], targets[part]))
    np.testing.assert_allclose(in_turn.value(), whole, rtol=1e-13)
    np.testing.assert_allclose(merged.value(), whole, rtol=1e-13)
    first, second = (sums_of(predictions[i::2], targets[i::2]) for i in (0, 1))
    before = first.to_dict(), second.to_dict()
    first.merge(second).update(predictions, targets)
    assert (first.to_dict(), second.to_dict()) == before


def test_it_is_not_the_mean_of_the_photos_correlations():
    predictions, targets = image_pair()
    of_set = sums_of(predictions, targets).value()
    of_photos = np.mean(photo_pcc(predictions, targets))
    assert of_set > of_photos + 0.2


def test_bright_and_almost_flat_images_keep_their_digits():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(4, 8, 8, 3))
    predictions = 1e6 + 1e-3 * base
    targets = 1e6 + 1e-3 * (base + rng.normal(size=base.shape))
    np.testing.assert_allclose(
        sums_of(predictions, targets).value(),
        np.corrcoef(predictions.ravel() - 1e6, targets.ravel() - 1e6)[0, 1],
        rtol=1e-9,
    )


def test_padding_is_never_looked_at():
    predictions, targets = image_pair(n=4)
    mask = np.array([True, False, True, False])
    predictions[1], targets[3] = np.nan, np.inf
    found = sums_of(predictions, targets, mask).value()
    assert found == sums_of(predictions[mask], targets[mask]).value()
    nothing = sums_of(predictions, targets, np.zeros(4, bool))
    with pytest.raises(ValueError, match="No photo was counted"):
        nothing.value()


@pytest.mark.parametrize("flat", [0.0, 77.3, 0.1, 255.0])
def test_a_set_without_contrast_has_no_correlation(flat):
    predictions, targets = image_pair(n=3)
    same = np.full(targets.shape, flat)  # float64: 0.1 and 77.3 are rounded numbers
    for pair in ((same, targets), (predictions, same), (same, same)):
        sums = sums_of(*pair)
        sums.update(*pair)
        assert math.isnan(sums.value())


def test_broken_values_stay_visible():
    predictions, targets = image_pair(n=2)
    for broken in (np.nan, np.inf):
        predictions[0, 0, 0, 0] = broken
        assert math.isnan(sums_of(predictions, targets).value())


def test_bytes_are_counted_like_floats():
    predictions, targets = (x.astype(np.uint8) for x in image_pair())
    found = sums_of(predictions, targets).value()
    assert found == sums_of(predictions.astype(float), targets.astype(float)).value()


def test_sums_travel_to_another_process_as_json():
    predictions, targets = image_pair()
    sums = sums_of(predictions[:3], targets[:3])
    back = CorrelationSums.from_dict(json.loads(json.dumps(sums.to_dict())))
    assert back.value() == sums.value()
    back.update(predictions[3:], targets[3:])
    wanted = pearson(predictions, targets)
    np.testing.assert_allclose(back.value(), wanted, rtol=1e-12)
    with pytest.raises(ValueError, match=r"sums\['means'\] is None; wanted 2"):
        CorrelationSums.from_dict({"values": [3]})
    with pytest.raises(ValueError, match=r"sums\['values'\] is 1.5; wanted a whole"):
        CorrelationSums.from_dict(sums.to_dict() | {"values": [1.5]})


def test_the_photos_moments_give_the_correlation_of_the_set():
    predictions, targets = image_pair()
    moments = jax.jit(photo_pair_moments)(predictions, targets)
    assert moments.shape == (7, 5)
    sums = CorrelationSums()
    sums.update_moments(moments[:4], predictions[0].size)
    mask = np.array([True, True, False])
    sums.update_moments(moments[4:], predictions[0].size, mask)
    wanted = pearson(predictions[:6], targets[:6])
    np.testing.assert_allclose(sums.value(), wanted, rtol=1e-6)
    assert sums.values == predictions[:6].size
    with pytest.raises(ValueError, match=r"moments has shape \(7,\); wanted \(n, 5\)"):
        sums.update_moments(np.zeros(7), 10)
    with pytest.raises(ValueError, match="values_per_photo is 0"):
        sums.update_moments(moments, 0)


def test_each_photo_has_scipys_correlation():
    predictions, targets = image_pair()
    found = photo_pcc(predictions, targets)
    assert found.dtype == np.float32
    wanted = [pearson(x, y) for x, y in zip(predictions, targets, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    np.testing.assert_allclose(photo_pcc(targets, targets), 1, rtol=1e-6)
    np.testing.assert_allclose(photo_pcc(-targets, targets), -1, rtol=1e-6)


@pytest.mark.parametrize("flat", [0.0, 77.3, 0.1, 255.0])
def test_a_photo_without_contrast_correlates_with_nothing(flat):
    predictions, targets = image_pair(n=3, size=(33, 35))
    predictions[1] = flat
    found = photo_pcc(predictions, targets)
    assert found[1] == 0 and min(found[0], found[2]) > 0.2
    assert photo_pcc(targets, predictions)[1] == 0
    assert photo_pcc(predictions, predictions)[1] == 0


def test_bad_shapes_are_refused():
    images = np.zeros((2, 3, 3, 3))
    sums = CorrelationSums()
    with pytest.raises(ValueError, match=r"predictions has shape \(3, 3, 3\)"):
        sums.update(images[0], images[0])
    with pytest.raises(ValueError, match=r"targets .* wanted \(2, 3, 3, 3\) like"):
        sums.update(images, images[:1])
    with pytest.raises(ValueError, match=r"mask has shape \(3,\) .* wanted \(2,\)"):
        sums.update(images, images, np.ones(3, bool))
    # Integers would index instead of mask.
    with pytest.raises(ValueError, match="dtype int64; wanted"):
        sums.update(images, images, np.ones(2, int))
    with pytest.raises(ValueError, match="wanted equal shapes"):
        photo_pcc(images, images[:1])
