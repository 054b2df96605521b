"""Means and intervals over photos: merging, masks, hand-computed and SciPy's values."""

import json
import math

import numpy as np
import pytest
import scipy.stats

from vgg_unpool_jax.evaluation.statistics import MetricSums, Summary, Sums


def sums_of(*values, mask=None, name="l1"):
    sums = MetricSums()
    sums.update({name: np.array(values)}, mask)
    return sums


def test_hand_computed_mean_and_interval():
    summary = sums_of(1.0, 2.0, 3.0, 4.0).summary()["l1"]
    # s² = 5/3, t(0.975, 3) = 3.182446: half width 3.182446 · sqrt(5/12).
    assert summary.mean == 2.5
    assert summary.photos == 4
    half = 3.182446305 * math.sqrt(5 / 12)
    np.testing.assert_allclose(summary.interval, [2.5 - half, 2.5 + half], rtol=1e-9)


@pytest.mark.parametrize(("offset", "spread"), [(0, 1), (0.999, 1e-4), (6e4, 0.1)])
def test_the_interval_equals_scipy(offset, spread):
    values = offset + np.random.default_rng(0).normal(size=57) * spread
    summary = sums_of(*values).summary()["l1"]
    wanted = scipy.stats.t.interval(
        0.95, 56, loc=values.mean(), scale=scipy.stats.sem(values)
    )
    np.testing.assert_allclose(summary.mean, values.mean(), rtol=1e-14)
    width = wanted[1] - wanted[0]
    np.testing.assert_allclose(summary.interval, wanted, rtol=0, atol=1e-4 * width)


def test_merging_equals_counting_at_once():
    rng = np.random.default_rng(1)
    batches = [rng.uniform(0, 255, n) for n in (8, 8, 3, 1)]
    whole = sums_of(*np.concatenate(batches)).summary()["l1"]
    in_turn, merged = MetricSums(), MetricSums()
    for batch in batches:
        in_turn.update({"l1": batch})
        merged = merged.merge(sums_of(*batch))
    for other in (in_turn, merged):
        summary = other.summary()["l1"]
        assert summary.photos == whole.photos == 20
        np.testing.assert_allclose(summary.mean, whole.mean, rtol=1e-13)
        np.testing.assert_allclose(summary.interval, whole.interval, rtol=1e-12)


def test_merging_leaves_both_sides_as_they_were():
    first, second = sums_of(1.0, 2.0), sums_of(5.0, name="psnr")
    both = first.merge(second).summary()
    assert both["l1"] == first.summary()["l1"]
    assert both["psnr"] == second.summary()["psnr"]
    assert list(first.summary()) == ["l1"]
    assert list(second.summary()) == ["psnr"]


def test_a_metric_that_some_batches_lack_counts_its_own_photos():
    sums = MetricSums()
    sums.update({"l1": np.ones(3), "ms_ssim": np.full(3, 0.5)})
    sums.update({"l1": np.ones(2)})
    summary = sums.summary()
    assert summary["l1"].photos == 5
    assert summary["ms_ssim"].photos == 3
    assert summary["ms_ssim"].mean == 0.5


def test_padding_is_never_looked_at():
    mask = np.array([True, False, True, False])
    summary = sums_of(1.0, math.nan, 3.0, math.inf, mask=mask).summary()["l1"]
    assert summary.mean == 2
    assert summary.photos == 2
    assert np.all(np.isfinite(summary.interval))


def test_a_batch_of_padding_alone_counts_nothing():
    sums = sums_of(1.0, 2.0, mask=np.zeros(2, bool))
    with pytest.raises(ValueError, match="No photo was counted"):
        sums.summary()
    sums.update({"l1": np.array([4.0])})
    assert sums.summary()["l1"] == Summary(4.0, None, 1)


def test_one_photo_has_no_interval():
    assert sums_of(7.0).summary()["l1"] == Summary(7.0, None, 1)


def test_equal_values_have_an_interval_of_almost_no_width():
    low, high = sums_of(*[0.1] * 1000).summary()["l1"].interval
    assert low <= 0.1 <= high or math.isclose(low, 0.1, abs_tol=1e-9)
    assert 0 <= high - low < 1e-8


def test_infinite_and_nan_values_stay_visible():
    infinite = sums_of(30.0, math.inf).summary()["l1"]
    assert infinite == Summary(math.inf, None, 2)
    broken = sums_of(30.0, math.nan).summary()["l1"]
    assert math.isnan(broken.mean)
    assert broken.interval is None


def test_float32_values_are_added_in_float64():
    # The squares lie above 2^24, where float32 has no odd numbers any more.
    values = np.array([4097, 4099, 4101, 4103], np.float32)
    sums = MetricSums()
    sums.update({"l1": values})
    assert sums.to_dict() == {"l1": [4, 16400, 67240020]}


def test_sums_travel_to_another_process_as_json():
    sums = sums_of(1.0, 2.5, 7.0)
    back = MetricSums.from_dict(json.loads(json.dumps(sums.to_dict())))
    assert back.summary() == sums.summary()
    back.update({"l1": np.array([3.0])})
    assert back.summary()["l1"].photos == 4
    assert sums.summary()["l1"].photos == 3


@pytest.mark.parametrize("entry", [[1.0, 2.0], [0, 0.0, 0.0], [1.5, 2.0, 3.0]])
def test_malformed_sums_are_refused(entry):
    with pytest.raises(ValueError, match=r"sums\['l1'\] is .*wanted \[photos"):
        MetricSums.from_dict({"l1": entry})


def test_wrong_shapes_are_refused():
    sums = MetricSums()
    with pytest.raises(ValueError, match=r"values\['l1'\] has shape \(\); wanted \(n"):
        sums.update({"l1": np.float32(3)})
    with pytest.raises(ValueError, match=r"shape \(3,\); wanted \(2,\) like the mask"):
        sums.update({"l1": np.ones(3)}, np.ones(2, bool))
    # Integers would index instead of mask.
    with pytest.raises(ValueError, match=r"mask has shape .* int64; wanted"):
        sums.update({"l1": np.ones(2)}, np.ones(2, int))
    with pytest.raises(ValueError, match="No photo was counted"):
        Sums().summary()
