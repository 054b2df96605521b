"""The guided filter over the frames of a film."""

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization.guided_filter import guided_filter
from vgg_unpool_jax.applications.stylization.steady_guided_filter import (
    SteadyGuidedFilter,
)

_SIZE = (40, 52)


def _photos(count, seed=0):
    photos = np.random.default_rng(seed).uniform(20, 235, (count, 10, 13, 3))
    return photos.repeat(4, axis=1).repeat(4, axis=2)


def _film(steady, guides, images):
    return [np.asarray(steady(g, i)) for g, i in zip(guides, images, strict=True)]


def test_without_time_each_frame_is_filtered_alone():
    guides, images = _photos(3), _photos(3, 1)
    found = _film(SteadyGuidedFilter(0, radius=3), guides, images)
    for guide, image, result in zip(guides, images, found, strict=True):
        alone = np.asarray(guided_filter(guide, image, radius=3))
        np.testing.assert_allclose(result, alone, atol=1e-2)


def test_over_a_still_guide_it_is_the_filter_of_the_mean_image():
    # The filter is linear in the image.
    guide, images = _photos(1)[0], _photos(5, 1)
    found = _film(SteadyGuidedFilter(3, radius=4), [guide] * 5, images)
    for last in range(5):
        weights = np.exp(-(last - np.arange(last + 1)) / 3)
        mean = np.average(images[: last + 1], axis=0, weights=weights)
        wanted = np.asarray(guided_filter(guide, mean, radius=4))
        np.testing.assert_allclose(found[last], wanted, atol=2e-2)


def test_moments_are_those_of_all_frames_together():
    # Two frames of equal weight are one window of twice the pixels: with a window as
    # large as the frame, the fit is least squares over both.
    guides, images = _photos(2), _photos(2, 1)
    steady = SteadyGuidedFilter(1e9, limit=1e9, radius=500, eps=1e-6)
    last = _film(steady, guides, images)[-1]
    pixels = guides.reshape(-1, 3) / 255, images.reshape(-1, 3)
    ones = np.ones((len(pixels[0]), 1))
    fit, *_ = np.linalg.lstsq(np.hstack([pixels[0], ones]), pixels[1], rcond=None)
    wanted = guides[1].reshape(-1, 3) / 255 @ fit[:3] + fit[3]
    # The window wraps around mirror images, not quite whole ones.
    np.testing.assert_allclose(last.reshape(-1, 3), wanted, atol=1.0)
    alone = np.asarray(guided_filter(guides[1], images[1], radius=500, eps=1e-6))
    assert np.abs(last - alone).max() > 5


def test_where_the_guide_changes_the_past_is_forgotten():
    guide, images = _photos(1)[0], _photos(4, 1)
    changed = guide.copy()
    changed[:, 26:] = 255 - changed[:, 26:] // 4
    found = _film(SteadyGuidedFilter(50, radius=2), [guide] * 3 + [changed], images)[-1]
    alone = np.asarray(guided_filter(changed, images[3], radius=2))
    mean = np.asarray(guided_filter(guide, images.mean(axis=0), radius=2))
    # Away from the border between both by twice the radius and what reaches over it.
    np.testing.assert_allclose(found[:, 34:], alone[:, 34:], atol=5e-2)
    assert np.abs(found[:, :20] - mean[:, :20]).max() < 4
    assert np.abs(found[:, :20] - alone[:, :20]).mean() > 10


def test_a_scene_begins_without_the_past():
    guides, images = _photos(2), _photos(2, 1)
    steady = SteadyGuidedFilter(8, limit=1e9)
    steady(guides[0], images[0])
    steady.begin_scene()
    found = np.asarray(steady(guides[1], images[1]))
    np.testing.assert_allclose(
        found, np.asarray(guided_filter(guides[1], images[1])), atol=1e-2
    )


def test_wrong_options_and_shapes():
    for wrong in (-1, np.inf, np.nan):
        with pytest.raises(ValueError, match="time_constant must be a number"):
            SteadyGuidedFilter(wrong)
    with pytest.raises(ValueError, match="limit must be above 0, got 0"):
        SteadyGuidedFilter(8, limit=0)
    with pytest.raises(ValueError, match="eps must be"):
        SteadyGuidedFilter(8, eps=0)(_photos(1)[0], _photos(1)[0])
    steady = SteadyGuidedFilter(8)
    steady(_photos(1)[0], _photos(1)[0])
    with pytest.raises(ValueError, match=r"frames before, \(40, 52\), got \(8, 9\)"):
        steady(np.zeros((8, 9, 3)), np.zeros((8, 9, 3)))
    with pytest.raises(ValueError, match="guide has shape"):
        steady(np.zeros((8, 9, 3)), np.zeros((8, 8, 3)))
