"""Numbers of reconstructions, of images whose faults are known."""

import numpy as np
import pytest
from scipy import ndimage

from vgg_unpool_jax.evaluation import reconstructions
from vgg_unpool_jax.evaluation.distances import cosines


@pytest.fixture(scope="module")
def photos():
    noise = np.random.default_rng(0).uniform(0, 255, (5, 48, 48, 3))
    return np.rint(ndimage.gaussian_filter(noise, (0, 1, 1, 0))).astype(np.uint8)


@pytest.fixture
def measure(photos):
    def measure(outputs):
        return reconstructions.measure(outputs, photos, lambda x: x[..., 0])

    return measure


def test_a_perfect_copy_has_no_error(measure, photos):
    found = measure(photos)
    assert found["spectrum_error"] == 0 and found["image_error"] == 0
    assert found["feature_cosine"] == pytest.approx(1, abs=1e-6)


def test_another_photo_is_as_far_as_photos_are(measure, photos):
    found = measure(np.roll(photos, 1, axis=0))
    assert found["image_error"] == pytest.approx(1, abs=0.05)
    assert found["feature_error"] == pytest.approx(1, abs=0.05)
    assert found["spectrum_error"] == pytest.approx(0, abs=1e-4)


def test_blur_lacks_fine_detail_and_noise_has_too_much(measure, photos):
    blurred = ndimage.gaussian_filter(photos.astype(float), (0, 1, 1, 0))
    noisy = photos + np.random.default_rng(1).normal(0, 30, photos.shape)
    values = [
        measure(np.clip(np.rint(x), 0, 255).astype(np.uint8)) for x in (blurred, noisy)
    ]
    assert (
        values[0]["high_frequency_error"] < -3 < 3 < values[1]["high_frequency_error"]
    )


def test_cosines_are_those_of_whole_arrays_whatever_their_length():
    a = np.array([[[3.0, 0.0]], [[1.0, 1.0]], [[1.0, 2.0]], [[0.0, 0.0]]], np.float32)
    b = np.array([[[0.0, 5.0]], [[-2.0, -2.0]], [[4.0, 3.0]], [[1.0, 0.0]]], np.float32)
    wanted = [0.0, -1.0, 2 / np.sqrt(5), 0.0]
    np.testing.assert_allclose(cosines(a, b), wanted, atol=1e-6)
