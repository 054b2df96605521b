"""Windowed means and covariances against SciPy and NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from vgg_unpool_jax.applications.stylization.box_filter import box_mean, window_moments


def _scipy_mean(images, radius):
    """The mean over windows; SciPy calls `reflect` what repeats the outermost pixel."""
    images = np.asarray(images, np.float64)
    for axis in (-3, -2):
        images = ndimage.uniform_filter1d(
            images, 2 * radius + 1, axis=axis, mode="reflect"
        )
    return images


@pytest.mark.parametrize("radius", [0, 1, 4, 13, 14, 40])
def test_means_are_scipys_up_to_and_beyond_the_size_of_the_image(radius):
    images = np.random.default_rng(radius).uniform(0, 255, (2, 14, 27, 3))
    means = box_mean(images, radius)
    assert means.dtype == jnp.float32 and means.shape == images.shape
    np.testing.assert_allclose(means, _scipy_mean(images, radius), atol=255e-6)


def test_at_the_border_the_outermost_pixel_is_repeated():
    image = np.array([0.0, 10.0, 100.0, 1000.0]).reshape(1, 4, 1)
    means = np.ravel(box_mean(image, 1))
    np.testing.assert_allclose(means, [10 / 3, 110 / 3, 370.0, 700.0], rtol=1e-6)


@pytest.mark.parametrize("radius", [5, 50])
def test_long_rows_keep_their_digits(radius):
    # As wide as 4K; the bright part would spoil a cumulative sum for what follows it.
    image = np.random.default_rng(0).uniform(0, 1, (3, 3840, 1)).astype(np.float32)
    image[:, :3000] = 0.9 + 0.1 * image[:, :3000]
    image[:, 3000:] *= 1e-3
    means, wanted = np.asarray(box_mean(image, radius)), _scipy_mean(image, radius)
    assert np.abs(means - wanted).max() < 1e-6
    dark = np.s_[:, 3000 + radius :]
    np.testing.assert_allclose(means[dark], wanted[dark], rtol=2e-6)


def test_leading_axes_are_independent_images():
    images = np.random.default_rng(1).uniform(0, 1, (2, 3, 8, 9, 2))
    means = box_mean(images, 2)
    np.testing.assert_array_equal(means[1, 2], box_mean(images[1, 2], 2))


def test_covariances_of_faint_texture_on_bright_ground():
    # Standard deviation 1e-4 at 1: float32 knows 1 to 6e-8, its square to 1e-7.
    rng = np.random.default_rng(2)
    planes = (1.0 + 1e-4 * rng.normal(size=(2, 30, 23))).astype(np.float32)
    radius, size = 3, 7
    moments = window_moments(planes, 1, radius)
    padded = np.pad(planes.astype(np.float64), ((0, 0), (3, 3), (3, 3)), "symmetric")
    views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    centred = views - views.mean((-1, -2), keepdims=True)
    for i, j in ((0, 0), (0, 1)):
        wanted = (centred[i] * centred[j]).mean((-1, -2))
        np.testing.assert_allclose(moments.covariances[i][j - i], wanted, atol=2e-11)
    np.testing.assert_allclose(moments.means[1], views[1].mean((-1, -2)), atol=1e-6)


def test_the_cost_does_not_grow_with_the_radius():
    def work(radius):
        image = jnp.zeros((512, 512, 1))
        walk = jax.jit(lambda x: box_mean(x, radius))
        return walk.lower(image).compile().cost_analysis()["flops"]

    # A sum over the window would be a hundred times more.
    assert work(40) < 1.5 * work(4)


@pytest.mark.parametrize("radius", [-1, 1.5, "3", True])
def test_no_radius(radius):
    with pytest.raises(ValueError, match="radius must be a whole number from 0 on"):
        box_mean(np.zeros((4, 4, 3)), radius)


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 3)])
def test_no_images(shape):
    with pytest.raises(ValueError, match=r"images must have shape \(\.\.\., height"):
        box_mean(np.zeros(shape), 1)
