"""MS-SSIM against TensorFlow and float64 arithmetic; gradients on easy and bad cases.

The float64 reference below is written from the paper's formulas with SciPy's filters
and shares no code with the library.
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from vgg_unpool_jax.losses import MIN_SIDE, local_mean, ms_ssim, ms_ssim_loss

SIZES = [(176, 176), (177, 203), (211, 178)]

# Compiling takes seconds: the tests share this function and few shapes.
value_and_gradients = jax.jit(jax.value_and_grad(ms_ssim_loss, argnums=(0, 1)))


def noisy_pair(size=(176, 176), noise=20.0, n=1, seed=0):
    """Smooth random images and the same with noise, both in [0, 255]."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (n, *size, 3))
    images = scipy.ndimage.gaussian_filter(images, (0, 2, 2, 0))
    images = np.clip(127.5 + 6 * (images - 127.5), 0, 255)
    noisy = np.clip(images + noise * rng.normal(size=images.shape), 0, 255)
    return noisy.astype(np.float32), images.astype(np.float32)


def checkerboard(size=176):
    rows, columns = np.indices((size, size))
    board = 255.0 * ((rows + columns) % 2)
    return np.repeat(board[None, :, :, None], 3, axis=3).astype(np.float32)


def reference_ms_ssim(x, y, white=255.0):
    def blur(z):
        for axis in (1, 2):
            z = scipy.ndimage.gaussian_filter1d(z, 1.5, axis=axis, radius=5)
        return z[:, 5:-5, 5:-5]

    x, y = x.astype(np.float64), y.astype(np.float64)
    c1, c2 = (0.01 * white) ** 2, (0.03 * white) ** 2
    product = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        if scale:
            odd = ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0))
            x, y = (np.pad(z, odd, mode="symmetric") for z in (x, y))
            n, h, w, c = x.shape
            x, y = (z.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4)) for z in (x, y))
        mx, my = blur(x), blur(y)
        covariance = blur(x * y) - mx * my
        variances = blur(x * x) - mx**2 + blur(y * y) - my**2
        term = (2 * covariance + c2) / (variances + c2)
        if scale == 4:
            term = term * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        product = product * np.maximum(term.mean((1, 2)), 0) ** weight
    return product.mean(-1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.extended
def test_it_equals_tensorflow(size):
    tf = pytest.importorskip("tensorflow")
    for noise in (5.0, 20.0, 100.0, 400.0):
        predictions, targets = noisy_pair(size, noise)
        np.testing.assert_allclose(
            ms_ssim(predictions, targets),
            tf.image.ssim_multiscale(predictions, targets, 255).numpy(),
            rtol=0,
            atol=1e-5,
        )


@pytest.mark.parametrize("size", SIZES)
def test_it_equals_float64_arithmetic(size):
    # Also at the ends, where TensorFlow's float32 is off by up to 5e-4.
    for noise in (0.1, 1.0, 20.0, 400.0):
        predictions, targets = noisy_pair(size, noise)
        wanted = reference_ms_ssim(predictions, targets)
        np.testing.assert_allclose(
            ms_ssim(predictions, targets), wanted, rtol=0, atol=5e-7
        )
    assert 0.05 < wanted[0] < 0.7  # the last case is far from trivial


def test_the_same_images_in_another_range_give_the_same_value():
    predictions, targets = noisy_pair()
    np.testing.assert_allclose(
        ms_ssim(predictions / 255, targets / 255, max_value=1.0),
        ms_ssim(predictions, targets),
        rtol=1e-5,
    )


def test_two_flat_images_differ_by_the_luminance_term_alone():
    # Contrast is 1 everywhere; what is left is luminance ** 0.1333, by hand. In
    # variances that are differences of large squares, rounding costs 1e-5 and more.
    x, y = np.array([[100.0, 200, 255, 37], [50, 100, 250, 201]])
    luminance = (2 * x * y + 2.55**2) / (x**2 + y**2 + 2.55**2)
    flat = np.ones((4, 176, 176, 3), np.float32)
    x, y = (level[:, None, None, None].astype(np.float32) * flat for level in (x, y))
    np.testing.assert_allclose(ms_ssim(x, y), luminance**0.1333, rtol=1e-6)


def test_each_photo_has_its_own_value():
    predictions, targets = noisy_pair(n=2)
    predictions[1] = targets[1]
    both = ms_ssim(predictions, targets)
    np.testing.assert_allclose(both[0], ms_ssim(predictions[:1], targets[:1])[0])
    assert both[1] == 1.0
    np.testing.assert_allclose(
        ms_ssim_loss(predictions, targets), 1 - both.mean(), rtol=1e-5
    )


def test_equal_images_give_exactly_one_and_no_gradient():
    _, images = noisy_pair()
    value, gradients = value_and_gradients(images, images)
    assert value == 0
    np.testing.assert_array_equal(gradients, 0)


def test_the_gradient_equals_finite_differences():
    predictions, targets = noisy_pair((177, 203), noise=30)
    _, (gradient, _) = value_and_gradients(predictions, targets)
    rng = np.random.default_rng(1)
    for _ in range(3):
        direction = rng.normal(size=gradient.shape)
        # Differences of the float64 reference: float32 would drown them in rounding.
        above, below = (
            1 - reference_ms_ssim(predictions + sign * direction, targets).mean()
            for sign in (1e-3, -1e-3)
        )
        np.testing.assert_allclose(
            np.vdot(np.asarray(gradient, np.float64), direction),
            (above - below) / 2e-3,
            rtol=2e-3,
        )


def test_gradients_of_both_arguments_mirror_each_other():
    # MS-SSIM is symmetric in its arguments.
    predictions, targets = noisy_pair()
    _, (first, second) = value_and_gradients(predictions, targets)
    _, (swapped, _) = value_and_gradients(targets, predictions)
    np.testing.assert_allclose(second, swapped, rtol=1e-3, atol=1e-9)
    assert np.abs(first).max() > 0


def adversarial_pairs():
    rng = np.random.default_rng(2)
    noise = rng.uniform(0, 255, (1, 176, 176, 3)).astype(np.float32)
    flat = np.full_like(noise, 128)
    board = checkerboard()
    return {
        "noise against its negative": (noise, 255 - noise),
        "a checkerboard against its negative": (board, 255 - board),
        "two flat images": (flat, flat + 40),
        "equal flat images": (flat, flat),
        "black against white": (0 * flat, 0 * flat + 255),
        "noise against flat": (noise, flat),
        "equal noise": (noise, noise),
        "far out of range": (1e4 * (noise - 128), noise),
    }


@pytest.mark.parametrize("name", adversarial_pairs())
def test_values_and_gradients_stay_finite(name):
    predictions, targets = adversarial_pairs()[name]
    value, gradients = value_and_gradients(predictions, targets)
    assert 0 <= value <= 1
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_negative_contrast_gives_zero_similarity_and_no_gradient():
    noise, negative = adversarial_pairs()["noise against its negative"]
    value, gradients = value_and_gradients(noise, negative)
    assert value == 1
    np.testing.assert_array_equal(gradients, 0)


def test_only_the_channels_with_negative_contrast_are_lost():
    # The mean over three channels is taken last: one lost channel costs its third.
    predictions, images = noisy_pair()
    predictions[..., 1] = 255 - images[..., 1]
    value, (gradient, _) = value_and_gradients(predictions, images)
    np.testing.assert_allclose(
        value, 1 - reference_ms_ssim(predictions, images)[0], atol=1e-6
    )
    assert value > 1 / 3
    np.testing.assert_array_equal(gradient[..., 1], 0)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.abs(gradient).max((0, 1, 2))[[0, 2]] > 0)


def test_power_of_exactly_zero_has_no_infinite_gradient():
    module = importlib.import_module("vgg_unpool_jax.losses.ms_ssim")
    values = jnp.array([-1.0, 0.0, 0.25])
    gradient = jax.grad(lambda v: jnp.sum(module._positive_power(v, 0.5)))(values)
    np.testing.assert_allclose(module._positive_power(values, 0.5), [0, 0, 0.5])
    np.testing.assert_allclose(gradient, [0, 0, 1])


def test_the_local_mean_equals_scipy_and_its_gradient_the_transpose():
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(2, 19, 23, 3)).astype(np.float32)
    blurred, pull_back = jax.vjp(local_mean, maps)
    wanted = maps.astype(np.float64)
    for axis in (1, 2):
        wanted = scipy.ndimage.gaussian_filter1d(wanted, 1.5, axis=axis, radius=5)
    np.testing.assert_allclose(blurred, wanted[:, 5:-5, 5:-5], atol=1e-6)
    # <A x, y> = <x, A' y> holds for the true transpose alone.
    cotangent = rng.normal(size=blurred.shape).astype(np.float32)
    np.testing.assert_allclose(
        np.vdot(blurred, cotangent), np.vdot(maps, pull_back(cotangent)[0]), rtol=1e-4
    )
    impulse = np.zeros((1, 11, 11, 1), np.float32)
    impulse[0, 0, 10] = 1  # a corner, where a wrong shift of the padding shows
    corner = local_mean(impulse).item()
    np.testing.assert_allclose(
        pull_back_of_one_window()[0, 0, 10, 0], corner, rtol=1e-6
    )
    assert corner > 0


def pull_back_of_one_window():
    _, pull_back = jax.vjp(local_mean, jnp.zeros((1, 11, 11, 1)))
    return pull_back(jnp.ones((1, 1, 1, 1)))[0]


def test_vmap_over_photos_equals_a_batch():
    predictions, targets = noisy_pair(n=2)
    mapped = jax.vmap(lambda a, b: ms_ssim(a[None], b[None])[0])
    np.testing.assert_allclose(
        mapped(predictions, targets), ms_ssim(predictions, targets), atol=3e-7
    )


@pytest.mark.parametrize("size", [(175, 176), (64, 64)])
def test_small_images_are_refused_with_the_reason(size):
    images = np.zeros((1, *size, 3), np.float32)
    with pytest.raises(ValueError, match=r"at least 176 pixels, because its fifth"):
        ms_ssim_loss(images, images)
    assert MIN_SIDE == 11 * 16
