"""Metrics per photo against TensorFlow, scikit-image and hand-computed values."""

import math

import jax
import numpy as np
import pytest
import scipy.ndimage
import skimage.metrics

from vgg_unpool_jax.evaluation.metrics import (
    METRICS,
    compute_photo_metrics,
    missing_metrics,
    photo_l1,
    photo_l2,
    photo_ms_ssim,
    photo_psnr,
    photo_ssim,
)

PHOTO_METRICS = {
    "l1": photo_l1,
    "l2": photo_l2,
    "psnr": photo_psnr,
    "ssim": photo_ssim,
    "ms_ssim": photo_ms_ssim,
}


def photo_pair(size=(176, 180), noise=20.0, n=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = scipy.ndimage.gaussian_filter(
        rng.uniform(0, 255, (n, *size, 3)), (0, 2, 2, 0)
    )
    targets = np.clip(127.5 + 6 * (targets - 127.5), 0, 255)
    # Another strength of noise for each photo, so that a mix-up would show.
    strengths = noise * np.arange(1, n + 1)[:, None, None, None]
    predictions = targets + strengths * rng.normal(size=targets.shape)
    return (
        np.clip(predictions, 0, 255).astype(np.float32),
        targets.astype(np.float32),
    )


@pytest.mark.parametrize("noise", [5.0, 100.0])
@pytest.mark.extended
def test_they_equal_tensorflow(noise):
    # Not at still lower noise: there TensorFlow's float32 rounding reaches 1e-4, while
    # the values here stay within 1e-6 of float64 arithmetic (next test).
    tf = pytest.importorskip("tensorflow")
    predictions, targets = photo_pair(noise=noise)
    oracles = {
        "psnr": (tf.image.psnr, 1e-4),
        "ssim": (tf.image.ssim, 1e-5),
        "ms_ssim": (tf.image.ssim_multiscale, 1e-5),
    }
    for name, (oracle, tolerance) in oracles.items():
        np.testing.assert_allclose(
            PHOTO_METRICS[name](predictions, targets),
            oracle(predictions, targets, 255).numpy(),
            rtol=0,
            atol=tolerance,
            err_msg=name,
        )


@pytest.mark.parametrize("noise", [0.1, 20.0])
def test_they_equal_scikit_image_in_float64(noise):
    predictions, targets = photo_pair(noise=noise)
    for i in range(len(targets)):
        x, y = predictions[i].astype(float), targets[i].astype(float)
        one = slice(i, i + 1)
        np.testing.assert_allclose(
            photo_psnr(predictions[one], targets[one])[0],
            skimage.metrics.peak_signal_noise_ratio(y, x, data_range=255),
            rtol=1e-5,
        )
        _, full = skimage.metrics.structural_similarity(
            y,
            x,
            data_range=255,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        np.testing.assert_allclose(
            photo_ssim(predictions[one], targets[one])[0],
            full[5:-5, 5:-5].mean(),
            rtol=0,
            atol=1e-6,
        )
        np.testing.assert_allclose(
            photo_l2(predictions[one], targets[one])[0],
            skimage.metrics.mean_squared_error(x, y),
            rtol=1e-5,
        )


def test_hand_computed_values():
    targets = np.full((2, 12, 12, 3), 100, np.float32)
    predictions = targets + np.array([0.0, 51.0], np.float32)[:, None, None, None]
    np.testing.assert_allclose(photo_l1(predictions, targets), [0, 51])
    np.testing.assert_allclose(photo_l2(predictions, targets), [0, 2601])
    # 51 is a fifth of 255, hence 20 · log10(5) dB; equal photos have no noise at all.
    np.testing.assert_allclose(
        photo_psnr(predictions, targets),
        [math.inf, 20 * math.log10(5)],
        rtol=1e-6,
    )
    # Flat photos differ by the luminance term alone. They are the worst case of
    # dm_pix's float32 arithmetic: variances of 0 as differences of large squares.
    luminance = (2 * 100 * 151 + 2.55**2) / (100**2 + 151**2 + 2.55**2)
    np.testing.assert_allclose(
        photo_ssim(predictions, targets), [1, luminance], rtol=1e-4
    )


@pytest.mark.extended
def test_predictions_are_clipped_before_anything_is_measured():
    predictions, targets = photo_pair()
    wild = np.where(predictions < 60, predictions - 500, predictions)
    wild = np.where(predictions > 200, wild + 500, wild)
    found = compute_photo_metrics(wild, targets)
    compiled = jax.jit(compute_photo_metrics)(wild, targets)
    assert list(found) == list(METRICS) == list(PHOTO_METRICS)
    assert compiled.keys() == found.keys()
    for name, function in PHOTO_METRICS.items():
        wanted = function(np.clip(wild, 0, 255), targets)
        for values in (found[name], compiled[name]):
            assert values.shape == (3,)
            assert values.dtype == np.float32
            np.testing.assert_allclose(values, wanted, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("size", "left_out"),
    [
        ((176, 176), []),
        ((175, 300), ["ms_ssim"]),
        ((300, 175), ["ms_ssim"]),
        ((11, 11), ["ms_ssim"]),
        ((10, 300), ["ms_ssim", "ssim"]),
    ],
)
def test_what_a_photo_is_too_small_for_is_left_out_with_a_reason(size, left_out):
    images = np.zeros((1, *size, 3), np.float32)
    computed = jax.eval_shape(compute_photo_metrics, images, images)
    assert sorted(PHOTO_METRICS.keys() - computed.keys()) == left_out
    reasons = missing_metrics(*size)
    assert sorted(reasons) == left_out
    for name, reason in reasons.items():
        title = METRICS[name].title
        assert f"{title} is left out at {size[0]} x {size[1]} pixels" in reason
