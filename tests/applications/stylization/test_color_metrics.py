"""Measures that others report, by analytic cases and by SciPy."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import skimage.color

from vgg_unpool_jax.applications.stylization.color_metrics import (
    histogram_correlation,
    lab_distance,
    sobel_ssim,
)
from vgg_unpool_jax.applications.stylization.metrics import edge_ssim


def _photo(seed, size=(40, 50)):
    small = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return small.repeat(3, axis=0).repeat(3, axis=1)


def test_edges_of_the_photo_itself_and_of_others():
    photo = _photo(0)
    assert sobel_ssim(photo, photo) == 1.0
    # A shift of the brightness leaves the edges.
    grey = (photo // 2).astype(np.uint8)
    assert sobel_ssim(grey, grey + 50) == pytest.approx(1, abs=1e-6)
    half, unlike = sobel_ssim(photo, photo // 2), sobel_ssim(photo, _photo(1))
    assert unlike < 0.6 < half < 1


def test_what_the_two_measures_of_edges_see():
    generator = np.random.default_rng(2)
    flat = np.full((80, 80, 3), 60, np.uint8)
    flat[:, 40:] = 200
    noisy = flat + generator.integers(0, 3, flat.shape).astype(np.uint8)
    assert sobel_ssim(noisy, flat) > 0.95
    assert edge_ssim(noisy, flat) < 0.2
    noise = generator.standard_normal((120, 120, 3))
    photo = 128 + 400 * scipy.ndimage.gaussian_filter(noise, (3, 3, 0))
    photo = photo.clip(0, 255).astype(np.uint8)
    faint = (0.5 * photo + 60).astype(np.uint8)
    assert sobel_ssim(photo, faint) < 0.96 < 0.97 < edge_ssim(photo, faint)


def test_the_distance_of_one_colour_to_another_is_known():
    first = np.full((8, 9, 3), (200, 100, 50), np.uint8)
    second = np.full((5, 7, 3), (90, 120, 180), np.uint8)
    lab = [skimage.color.rgb2lab(x)[0, 0] for x in (first, second)]
    # The mean of |cos| over directions in space is a half.
    expected = np.linalg.norm(lab[0] - lab[1]) / 2
    assert lab_distance(first, second) == pytest.approx(expected, rel=0.15)
    assert lab_distance(first, first) == 0.0


def test_distances_are_those_of_wasserstein():
    first, second = _photo(3, (12, 12)), _photo(4, (10, 14)) // 2
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((3, 64))
    directions /= np.linalg.norm(directions, axis=0)
    ours, theirs = (
        skimage.color.rgb2lab(x).reshape(-1, 3) @ directions for x in (first, second)
    )
    expected = np.mean(
        [
            scipy.stats.wasserstein_distance(a, b)
            for a, b in zip(ours.T, theirs.T, strict=True)
        ]
    )
    assert lab_distance(first, second) == pytest.approx(expected, rel=0.01)


def test_regions_are_compared_with_their_own():
    photo = np.zeros((10, 20, 3), np.uint8)
    photo[:, 15:] = 255
    style = photo[:, ::-1]
    labels = (photo[..., 0] > 0).astype(int)
    assert lab_distance(photo, style) == pytest.approx(0, abs=1e-6)
    assert lab_distance(photo, style, (labels, labels[:, ::-1])) == 0.0
    swapped = lab_distance(photo, style, (labels, 1 - labels[:, ::-1]))
    assert swapped == pytest.approx(50, rel=0.15)
    with pytest.raises(ValueError, match="no region in common"):
        lab_distance(photo, style, (labels, labels[:, ::-1] + 5))


def test_histograms():
    photo = _photo(5)
    assert histogram_correlation(photo, photo) == pytest.approx(1)
    flat, other = np.full((4, 4, 3), 10, np.uint8), np.full((4, 4, 3), 20, np.uint8)
    assert histogram_correlation(flat, other) == pytest.approx(-1 / 255)
