"""The guided filter against its definition in float64, and OpenCV's."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from vgg_unpool_jax.applications.stylization import guided_filter as module
from vgg_unpool_jax.applications.stylization.guided_filter import (
    SteadyGuidedFilter,
    guided_filter,
    window_means,
)

# FastPhotoStyle's: 0.001 in units of [0, 255]².
TINY = 0.001 / 255**2


def _definition(guide, image, radius, eps):
    guide = np.asarray(guide, np.float64) / 255
    image = np.asarray(image, np.float64) / 255

    def mean(array):
        for axis in (0, 1):
            array = ndimage.uniform_filter1d(array, 2 * radius + 1, axis=axis)
        return array

    guide_mean, image_mean = mean(guide), mean(image)
    variance = mean(guide[..., :, None] * guide[..., None, :])
    variance -= guide_mean[..., :, None] * guide_mean[..., None, :]
    covariance = mean(guide[..., :, None] * image[..., None, :])
    covariance -= guide_mean[..., :, None] * image_mean[..., None, :]
    slopes = np.linalg.solve(variance + eps * np.eye(3), covariance)
    offsets = image_mean - np.einsum("hwij,hwi->hwj", slopes, guide_mean)
    return 255 * (np.einsum("hwij,hwi->hwj", mean(slopes), guide) + mean(offsets))


def _scene(height=48, width=61, seed=0):
    """A guide of 8 bits with texture, an edge and flat ground; an image with noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    guide = (
        120
        + 60 * np.sin(columns / 9)[..., None]
        + 25 * rng.normal(size=(height, width, 3))
    )
    guide[rows > 0.6 * height] = [200, 90, 30]
    guide[(rows > 0.6 * height) & (columns > width / 2)] = [30, 90, 120]
    guide[: height // 3, : width // 3] = [251, 252, 250]
    guide = np.clip(guide.round(), 0, 255).astype(np.uint8)
    image = guide @ np.array([[0.3, 0.1, 0.6], [0.5, -0.2, 0.1], [0.1, 0.9, 0.2]])
    image = image + 20 * rng.normal(size=guide.shape)
    return guide, image.astype(np.float32)


@pytest.mark.parametrize(
    ("radius", "eps", "atol"),
    # Nine pixels and four coefficients: some windows are next to singular.
    [(1, 1e-6, 2e-2), (7, TINY, 2e-3), (7, 4e-4, 1e-3), (35, 1e-2, 1e-3)],
)
def test_definition_in_float64(radius, eps, atol):
    guide, image = _scene()
    result = guided_filter(guide, image, radius=radius, eps=eps)
    assert isinstance(result, np.ndarray) and result.dtype == np.float32
    np.testing.assert_allclose(
        result, _definition(guide, image, radius, eps), atol=atol, rtol=0
    )


def test_grey_guide_at_the_smallest_eps():
    # Its covariances have rank one: what rounding adds to them must not matter.
    guide, image = _scene()
    guide = np.repeat(guide[..., :1], 3, axis=2)
    result = guided_filter(guide, image, radius=7, eps=TINY)
    np.testing.assert_allclose(
        result, _definition(guide, image, 7, TINY), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("radius", [3, 40])
def test_opencv_border_included(radius):
    if importlib.util.find_spec("cv2") is None:
        pytest.skip("OpenCV is not installed (pip install opencv-contrib-python)")
    import cv2

    if not hasattr(cv2, "ximgproc"):
        pytest.skip("this OpenCV has no ximgproc (pip install opencv-contrib-python)")
    guide, image = _scene()
    # Where its own float32 covariances are good: another eps gives it flat windows
    # whose determinant it replaces.
    wanted = cv2.ximgproc.guidedFilter(
        guide.astype(np.float32), image, radius, 4e-3 * 255**2
    )
    result = guided_filter(guide, image, radius=radius, eps=4e-3)
    np.testing.assert_allclose(result, wanted, atol=5e-3, rtol=0)


def test_an_affine_map_of_the_guide_stays_as_it_is():
    guide = np.random.default_rng(3).uniform(0, 255, (20, 20, 3))
    image = 255 - guide[..., ::-1]
    result = guided_filter(guide, image, radius=4, eps=TINY)
    np.testing.assert_allclose(result, image, atol=5e-3)


def test_a_flat_guide_leaves_means_of_means():
    image = np.random.default_rng(4).uniform(0, 255, (12, 14, 3))
    result = guided_filter(np.full((12, 14, 3), 77), image, radius=2, eps=TINY)
    wanted = image
    for _ in range(2):
        for axis in (0, 1):
            wanted = ndimage.uniform_filter1d(wanted, 5, axis=axis)
    np.testing.assert_allclose(result, wanted, atol=1e-3)


def test_tiles_give_what_the_whole_gives():
    guide, image = _scene(70, 83)
    whole = guided_filter(guide, image, radius=7, eps=TINY)
    tiled = guided_filter(guide, image, radius=7, eps=TINY, tile=45)
    assert isinstance(tiled, np.ndarray) and tiled.dtype == np.float32
    np.testing.assert_allclose(tiled, whole, atol=2e-3, rtol=0)


@pytest.mark.extended
def test_photos_of_many_sizes_share_programs(monkeypatch):
    traced, products = [], module._window_products
    monkeypatch.setattr(
        module,
        "_window_products",
        lambda guide, *rest: traced.append(guide.shape) or products(guide, *rest),
    )
    module._programs.cache_clear()
    for size in ((30, 31), (31, 30), (40, 3), (33, 60), (64, 63), (50, 50)):
        guide, image = _scene(*size)
        result = guided_filter(guide, image, radius=9, eps=4e-4)
        wanted = _definition(guide, image, 9, 4e-4)
        np.testing.assert_allclose(result, wanted, atol=2e-3, rtol=0)
    module._programs.cache_clear()
    assert traced == [(30, 31, 3), (31, 30, 3), (64, 64, 3)]


@pytest.mark.parametrize("radius", [0, 13, 40])
def test_means_are_scipys_up_to_and_beyond_the_size_of_the_image(radius):
    planes = np.random.default_rng(radius).uniform(0, 255, (6, 14, 27))
    means = window_means(jnp.asarray(planes, jnp.float32), radius)
    assert means.dtype == jnp.float32 and means.shape == planes.shape
    expected = planes
    for axis in (1, 2):
        # SciPy calls `reflect` what repeats the outermost pixel.
        expected = ndimage.uniform_filter1d(
            expected, 2 * radius + 1, axis=axis, mode="reflect"
        )
    np.testing.assert_allclose(means, expected, atol=255e-6)


def test_long_rows_keep_their_digits():
    radius = 50
    # As wide as 4K; the bright part would spoil a cumulative sum of the whole row.
    plane = np.random.default_rng(0).uniform(0, 1, (1, 3, 3840)).astype(np.float32)
    plane[..., :3000] = 0.9 + 0.1 * plane[..., :3000]
    plane[..., 3000:] *= 1e-3
    means = np.asarray(window_means(jnp.asarray(plane), radius))
    expected = plane.astype(np.float64)
    for axis in (1, 2):
        expected = ndimage.uniform_filter1d(expected, 2 * radius + 1, axis=axis)
    assert np.abs(means - expected).max() < 1e-6
    dark = np.s_[..., 3000 + radius :]
    np.testing.assert_allclose(means[dark], expected[dark], rtol=2e-6)


# --- over the frames of a film -------------------------------------------------------


def _photos(count, seed=0):
    photos = np.random.default_rng(seed).uniform(20, 235, (count, 10, 13, 3))
    return photos.repeat(4, axis=1).repeat(4, axis=2)


def _film(steady, guides, images):
    return [np.asarray(steady(g, i)) for g, i in zip(guides, images, strict=True)]


def test_over_a_still_guide_it_is_the_filter_of_the_mean_image():
    # The filter is linear in the image.
    guide, images = _photos(1)[0], _photos(5, 1)
    found = _film(SteadyGuidedFilter(3, radius=4), [guide] * 5, images)
    for last in range(5):
        weights = np.exp(-(last - np.arange(last + 1)) / 3)
        mean = np.average(images[: last + 1], axis=0, weights=weights)
        wanted = np.asarray(guided_filter(guide, mean, radius=4))
        np.testing.assert_allclose(found[last], wanted, atol=2e-2)


@pytest.mark.extended
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


@pytest.mark.extended
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
