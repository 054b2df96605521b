"""The guided filter against its definition in float64, and OpenCV's."""

import importlib.util

import jax
import numpy as np
import pytest
from scipy import ndimage

from vgg_unpool_jax.applications.stylization.guided_filter import guided_filter
from vgg_unpool_jax.errors import UserError

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
    [(1, TINY, 2e-2), (7, TINY, 2e-3), (7, 4e-4, 1e-3), (35, 1e-2, 1e-3)],
)
def test_definition_in_float64(radius, eps, atol):
    guide, image = _scene()
    result = guided_filter(guide, image, radius=radius, eps=eps)
    assert isinstance(result, jax.Array) and result.dtype == np.float32
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


def test_the_radius_follows_the_longer_side():
    guide, image = _scene(30, 61)
    np.testing.assert_array_equal(
        guided_filter(guide, image), guided_filter(guide, image, radius=3, eps=1e-4)
    )


def test_radius_zero_gives_the_image_back():
    guide, image = _scene()
    np.testing.assert_allclose(guided_filter(guide, image, radius=0), image, atol=1e-4)


@pytest.mark.parametrize("tile", [45])
def test_tiles_give_what_the_whole_gives(tile):
    guide, image = _scene(70, 83)
    whole = guided_filter(guide, image, radius=7, eps=TINY)
    tiled = guided_filter(guide, image, radius=7, eps=TINY, tile=tile)
    assert isinstance(tiled, np.ndarray) and tiled.dtype == np.float32
    np.testing.assert_allclose(tiled, whole, atol=2e-3, rtol=0)


def test_a_tile_of_margins_only():
    guide, image = _scene()
    with pytest.raises(UserError, match="tile must be at least 30 pixels"):
        guided_filter(guide, image, radius=7, tile=29)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, "eps must be a positive number, got 0.0"),
        ({"eps": float("nan")}, "eps must be a positive number, got nan"),
        ({"radius": -1}, "radius must be a whole number from 0 on, got -1"),
        ({"tile": -5}, "tile must be 0 or a number of pixels, got -5"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        guided_filter(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)), **options)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"guide must have shape .* got \(8, 8\)"):
        guided_filter(np.zeros((8, 8)), np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"image must have shape .* got \(8, 8, 4\)"):
        guided_filter(np.zeros((8, 8, 3)), np.zeros((8, 8, 4)))
    with pytest.raises(ValueError, match=r"guide has shape \(8, 8, 3\) and image"):
        guided_filter(np.zeros((8, 8, 3)), np.zeros((8, 9, 3)))
