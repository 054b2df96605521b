"""The transport of colours: exact cases, limits, regions."""

import numpy as np
import pytest
import skimage.color

from vgg_unpool_jax.applications.stylization.color_transport import (
    SAMPLES,
    _limited,
    fit_transport,
    sample_colors,
)
from vgg_unpool_jax.applications.stylization.regions import Regions


def _colors(seed, mean, spread, count=3000):
    """RGB colours, normal in Lab."""
    lab = np.random.default_rng(seed).normal(mean, spread, (count, 3))
    return np.clip(255 * skimage.color.lab2rgb(lab), 0, 255).astype(np.float32)


def _lab(colors):
    return skimage.color.rgb2lab(colors / 255)


def test_equal_colours_stay():
    colors = _colors(0, (50, 5, -5), (10, 6, 6))
    np.testing.assert_allclose(fit_transport(colors, colors)(colors), colors, atol=0.6)


def test_means_and_deviations_are_those_of_the_style():
    ours, theirs = (
        _colors(1, (45, 0, 0), (8, 5, 5)),
        _colors(2, (60, 10, -20), (10, 4, 7)),
    )
    found = _lab(fit_transport(ours, theirs)(ours))
    np.testing.assert_allclose(found.mean(0), _lab(theirs).mean(0), atol=0.7)
    np.testing.assert_allclose(found.std(0), _lab(theirs).std(0), rtol=0.1)


def test_the_affine_map_alone_is_that_of_optimal_transport():
    ours, theirs = (
        _colors(1, (45, 0, 0), (8, 5, 5)),
        _colors(2, (60, 10, -20), (10, 4, 7)),
    )
    found = _lab(fit_transport(ours, theirs, slope=1)(ours))
    # Of diagonal covariances it is channel by channel.
    gains = _lab(theirs).std(0) / _lab(ours).std(0)
    expected = (_lab(ours) - _lab(ours).mean(0)) * gains + _lab(theirs).mean(0)
    np.testing.assert_allclose(found, expected, atol=1.5)


def test_gains_are_limited():
    flat = _colors(3, (60, 0, -10), (0.8, 0.3, 0.3))
    wild = _colors(4, (50, 0, 0), (12, 8, 8))
    found = _lab(fit_transport(flat, wild, slope=1)(flat))
    assert (found.std(0) < 2.2 * _lab(flat).std(0) + 0.2).all()
    slopes = np.array([[0.1, 0.1, 5.0], [0.01, 0.01, 0.01], [1.0, 1.2, 0.9]])
    steps = np.ones((3, 3))
    limited = _limited(slopes, steps, 1.6)
    assert limited.min() >= 1 / 1.6 and limited.max() <= 1.6
    # The first cannot rise as much, the second not as little.
    np.testing.assert_allclose(limited[0], 1.6)
    np.testing.assert_allclose(limited[1], 1 / 1.6)
    np.testing.assert_allclose(limited[2], slopes[2], rtol=1e-6)
    again = _limited(np.array([[0.2, 0.9, 2.5]]), steps[:1], 1.6)
    assert again.sum() == pytest.approx(3.6, rel=1e-5)


def test_more_slope_comes_nearer():
    rng = np.random.default_rng(5)
    ours = _colors(6, (50, 0, 0), (10, 8, 8))
    # Two clusters, which no affine map reaches.
    centres = np.where(rng.random((3000, 1)) < 0.5, (35, 20, 0), (70, -20, 10))
    lab = centres + rng.normal(0, 3, (3000, 3))
    theirs = (255 * skimage.color.lab2rgb(lab)).clip(0, 255).astype(np.float32)

    def distance(slope):
        found = _lab(fit_transport(ours, theirs, slope=slope)(ours))
        axes = np.random.default_rng(7).standard_normal((3, 32))
        axes /= np.linalg.norm(axes, axis=0)
        steps = np.sort(found @ axes, axis=0) - np.sort(_lab(theirs) @ axes, axis=0)
        return np.abs(steps).mean()

    assert distance(4) < 0.7 * distance(1.3) < 0.7 * distance(1)


def test_slopes_below_one_are_refused():
    colors = _colors(0, (50, 0, 0), (5, 5, 5))
    with pytest.raises(ValueError, match=r"at least 1, got 0\.5"):
        fit_transport(colors, colors, slope=0.5)


def test_colours_are_drawn_from_their_region_by_coverage():
    photo = np.zeros((20, 30, 3), np.float32)
    photo[:, 10:20], photo[:, 20:] = 100, 200
    labels = np.zeros((20, 30), np.int32)
    labels[:, 20:] = 1
    hard = Regions(("a", "b", "none"), labels=labels)
    found = sample_colors(photo, hard)
    assert found.shape == (3, SAMPLES, 3)
    assert set(np.unique(found[0])) == {0, 100} and np.unique(found[1]) == 200
    assert not found[2].any()
    assert found[0].mean() == pytest.approx(50, abs=1)
    coverage = np.zeros((20, 30, 2), np.float32)
    coverage[..., 0], coverage[:, 20:, 0] = 0.25, 0.75
    coverage[..., 1] = 1 - coverage[..., 0]
    soft = sample_colors(photo, Regions(("a", "b"), coverage=coverage))
    assert (soft[0] == 200).mean() == pytest.approx(0.6, abs=0.01)
    np.testing.assert_array_equal(sample_colors(photo, hard), found)
