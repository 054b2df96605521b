"""Means and intervals over photos: hand-computed and SciPy's values."""

import math

import numpy as np
import pytest
import scipy.stats

from vgg_unpool_jax.evaluation.statistics import (
    TOO_FEW,
    Summary,
    interval_text,
    summarize,
)


def test_hand_computed_mean_and_interval():
    summary = summarize([1.0, 2.0, 3.0, 4.0] * 2)
    # s² = 10/7, t(0.975, 7) = 2.364624: half width 2.364624 · sqrt(10/56).
    assert (summary.mean, summary.photos) == (2.5, 8)
    half = 2.364624252 * math.sqrt(10 / 56)
    np.testing.assert_allclose(summary.interval, [2.5 - half, 2.5 + half], rtol=1e-9)


@pytest.mark.parametrize(("offset", "spread"), [(0, 1), (0.999, 1e-4), (6e4, 0.1)])
def test_the_interval_equals_scipy(offset, spread):
    values = offset + np.random.default_rng(0).normal(size=57) * spread
    summary = summarize(values)
    expected = scipy.stats.t.interval(
        0.95, 56, loc=values.mean(), scale=scipy.stats.sem(values)
    )
    np.testing.assert_allclose(summary.mean, values.mean(), rtol=1e-14)
    width = expected[1] - expected[0]
    np.testing.assert_allclose(summary.interval, expected, rtol=0, atol=1e-8 * width)


def test_few_photos_have_no_interval_and_none_have_no_mean():
    assert summarize([7.0]) == Summary(7.0, None, 1)
    assert summarize([7.0, 8.0] * 3 + [9.0]).interval is None
    assert summarize([7.0, 8.0] * 4).interval is not None
    with pytest.raises(ValueError, match="at least one value"):
        summarize([])


def test_equal_values_have_an_interval_of_almost_no_width():
    low, high = summarize([0.1] * 1000).interval
    assert 0 <= high - low < 1e-8 and math.isclose(low, 0.1, abs_tol=1e-9)


def test_an_interval_stays_in_the_range_of_its_metric():
    assert summarize([1.0] * 7 + [-1.0], (-1.0, 1.0)).interval[1] == 1.0
    low, high = summarize([0.0] * 7 + [10.0], (0.0, 255.0)).interval
    assert low == 0.0 and high > 1.25


@pytest.mark.parametrize(
    ("photos", "interval", "text"),
    [
        (7, [1, 2], TOO_FEW),
        (7, None, TOO_FEW),
        (8, [1, "inf"], "1.00 to inf"),
        (8, None, ""),
        (None, [1, 2.5], "1.00 to 2.50"),
    ],
)
def test_few_photos_are_told_also_of_older_results(photos, interval, text):
    assert interval_text(interval, photos, 2) == text


def test_infinite_and_nan_values_stay_visible():
    assert summarize([30.0] * 8 + [math.inf]) == Summary(math.inf, None, 9)
    broken = summarize([30.0] * 8 + [math.nan])
    assert math.isnan(broken.mean) and broken.interval is None


def test_float32_values_are_added_in_float64():
    # The sum lies above 2^24, where float32 has no odd numbers any more.
    values = np.full(4097, 4097, np.float32)
    values[0] = 4098
    assert summarize(values).mean == (4097 * 4097 + 1) / 4097
