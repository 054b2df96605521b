"""SSIM with zero padding against torch, SciPy in float64 and hand-computed values."""

import numpy as np
import pytest
import scipy.ndimage

from vgg_unpool_jax.systems.vae.padded_ssim import photo_ssim_zero_padded


def photo_pair(size=(64, 48), noise=20.0, n=3, seed=0, level=127.5):
    rng = np.random.default_rng(seed)
    targets = scipy.ndimage.gaussian_filter(
        rng.uniform(0, 255, (n, *size, 3)), (0, 2, 2, 0)
    )
    targets = np.clip(level + 6 * (targets - 127.5), 0, 255)
    # Another strength of noise for each photo, so that a mix-up would show.
    strengths = noise * np.arange(1, n + 1)[:, None, None, None]
    predictions = targets + strengths * rng.normal(size=targets.shape)
    return predictions.clip(0, 255).astype(np.float32), targets.astype(np.float32)


def gaussian():
    weights = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    return weights / weights.sum()


def textbook_ssim(mean, x, y):
    """The formula of 2004 for images in [0, 1], with a given local mean."""
    mean_x, mean_y = mean(x), mean(y)
    variance_x = mean(x * x) - mean_x**2
    variance_y = mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = 1e-4, 9e-4
    return (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    )


def scipy_ssim(predictions, targets):
    def mean(images):
        for axis in (1, 2):
            images = scipy.ndimage.correlate1d(
                images, gaussian(), axis, mode="constant", cval=0.0
            )
        return images

    x, y = (images.astype(np.float64) / 255 for images in (predictions, targets))
    return textbook_ssim(mean, x, y).mean((1, 2, 3))


@pytest.mark.parametrize("noise", [0.1, 100.0])
@pytest.mark.parametrize("size", [(64, 48), (4, 7), (1, 1)])
def test_it_equals_scipy_in_float64_at_any_size(size, noise):
    predictions, targets = photo_pair(size, noise)
    found = photo_ssim_zero_padded(predictions, targets)
    assert found.shape == (3,) and found.dtype == np.float32
    wanted = scipy_ssim(predictions, targets)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_it_equals_torch_with_padding_5():
    torch = pytest.importorskip("torch")
    predictions, targets = photo_pair()
    kernel = torch.tensor(np.outer(gaussian(), gaussian()), dtype=torch.float32)
    kernel = kernel.expand(3, 1, 11, 11).contiguous()

    def mean(images):
        return torch.nn.functional.conv2d(images, kernel, padding=5, groups=3)

    x, y = (torch.tensor(a / 255).permute(0, 3, 1, 2) for a in (predictions, targets))
    wanted = textbook_ssim(mean, x, y)
    assert wanted.shape == x.shape  # the map is as large as the photo
    np.testing.assert_allclose(
        photo_ssim_zero_padded(predictions, targets),
        wanted.mean((1, 2, 3)).numpy(),
        rtol=0,
        atol=2e-5,  # what float32 leaves of the textbook form
    )


def test_bright_dull_photos_keep_their_digits():
    # Differences of large squares: the worst case of the textbook form in float32.
    rng = np.random.default_rng(0)
    targets = (240 + rng.normal(size=(2, 40, 40, 3))).astype(np.float32)
    predictions = (targets + 0.5 * rng.normal(size=targets.shape)).astype(np.float32)
    np.testing.assert_allclose(
        photo_ssim_zero_padded(predictions, targets),
        scipy_ssim(predictions, targets),
        rtol=0,
        atol=2e-6,
    )


def test_equal_photos_are_1_and_one_bright_pixel_has_the_hand_computed_value():
    _, targets = photo_pair()
    np.testing.assert_array_equal(photo_ssim_zero_padded(targets, targets), 1)
    # A photo of one pixel sees w of it and 1 - w of black, w the middle of the window.
    w = gaussian()[5] ** 2
    x, y = 1.0, 0.4
    luminance = (2 * w * w * x * y + 1e-4) / (w * w * (x * x + y * y) + 1e-4)
    v = w * (1 - w)
    contrast = (2 * v * x * y + 9e-4) / (v * (x * x + y * y) + 9e-4)
    pixels = [np.full((1, 1, 1, 3), 255 * value, np.float32) for value in (x, y)]
    np.testing.assert_allclose(
        photo_ssim_zero_padded(*pixels), [luminance * contrast], rtol=1e-5
    )
