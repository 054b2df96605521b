"""Structure and style: oracles, analytic cases, and what real photos say."""

import numpy as np
import pytest
import skimage.data
import skimage.metrics
from scipy import ndimage

from tests.ops.test_moments import measure_moments
from vgg_unpool_jax.applications.stylization import metrics
from vgg_unpool_jax.applications.stylization.metrics import (
    WHOLE,
    StyleMeter,
    edge_map,
    edge_ssim,
    moment_distance,
    style_distances,
)
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def photo():
    return skimage.data.astronaut()[60:190, 120:290].astype(np.float64)


@pytest.fixture(scope="module")
def weights():
    rng, params = RNG(0), {}
    for layer in convolutions_up_to(5):
        scale = np.sqrt(2 / (9 * layer.inputs))
        kernel = rng.standard_normal(layer.shape("kernel"), np.float32) * scale
        bias = np.zeros(layer.shape("bias"), np.float32)
        params[layer.name] = {"kernel": kernel.astype(np.float32), "bias": bias}
    return VGG19Weights(params, "caffe", "random:seed=0", "0" * 64)


@pytest.fixture(scope="module")
def meter(weights):
    return StyleMeter(weights)


def from_map(edges, magnitude):
    """The magnitude that a map says, in the photo whose true one is given."""
    return edges / (1 - edges) * np.sqrt(np.mean(magnitude**2) + 0.25)


def test_the_gradient_is_that_of_correlations_on_the_luminance(photo):
    grey = photo[..., 0] * 0.299 + photo[..., 1] * 0.587 + photo[..., 2] * 0.114
    squares = 0
    for axis in (0, 1):
        for kernel in ([-1, 1, 0], [0, -1, 1]):
            difference = ndimage.correlate1d(grey, kernel, axis, mode="nearest")
            squares = squares + difference**2 / 2
    wanted = np.sqrt(squares)
    np.testing.assert_allclose(from_map(edge_map(photo), wanted), wanted, atol=1e-9)


def test_edge_ssim_is_that_of_scikit_image_on_the_same_maps(photo):
    result = np.clip(photo * 0.7 + RNG(0).normal(0, 8, photo.shape), 0, 255)
    wanted = skimage.metrics.structural_similarity(
        edge_map(photo),
        edge_map(result),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
    )
    assert 0.2 < wanted < 0.95
    assert edge_ssim(photo, result) == pytest.approx(wanted, abs=2e-4)


def test_structure_of_the_content_itself_is_whole_and_brightness_changes_nothing(photo):
    assert edge_ssim(photo, photo) == pytest.approx(1, abs=1e-6)
    assert edge_ssim(photo, photo + 30) == pytest.approx(1, abs=1e-5)
    flat = np.full((32, 32, 3), 90.0)
    assert edge_ssim(flat, flat) == pytest.approx(1, abs=1e-6)


def test_structure_falls_with_blur_noise_and_checkerboards(photo):
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    board = np.where((y + x) % 2, 1.0, -1.0)[..., None]
    noise = RNG(1).normal(0, 1, photo.shape)
    families = {
        "blur": [ndimage.gaussian_filter(photo, (s, s, 0)) for s in (0.7, 1.5, 4)],
        "noise": [photo + s * noise for s in (3, 10, 30)],
        "board": [photo + s * board for s in (4, 12, 36)],
    }
    for name in sorted(families):
        kept = [edge_ssim(photo, image) for image in families[name]]
        assert 1 > kept[0] > kept[1] > kept[2], name
        assert kept[2] < 0.6, name


def _distance(features, reference, kind):
    return moment_distance(measure_moments(features), measure_moments(reference), kind)


def test_distances_follow_their_formulas_and_know_no_scale():
    a, b = RNG(3).gamma(2.0, 3.0, (2, 72, 4))
    b = b @ RNG(4).normal(size=(4, 4))
    statistics = {
        "covariance": lambda x: np.cov(x.T, bias=True),
        "gram": lambda x: x.T @ x / len(x),
        "mean": lambda x: x.mean(0),
    }
    for kind in sorted(statistics):
        ours, theirs = map(statistics[kind], (a, b))
        expected = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert _distance(a, b, kind) == pytest.approx(expected)
        assert _distance(b, b, kind) == 0
        assert _distance(1e3 * a, 1e3 * b, kind) == pytest.approx(expected)
    assert _distance(b + 7, b, "covariance") == pytest.approx(0, abs=1e-12)
    assert _distance(b + 7, b, "mean") > 0.1 and _distance(b + 7, b, "gram") > 0.1
    # Twice the deviations are four times the covariance.
    assert _distance(2 * b, b, "covariance") == pytest.approx(3)
    flat = np.ones((25, 4))
    assert _distance(flat, flat, "covariance") == 0
    assert _distance(a, flat, "covariance") == np.inf


def _features(weights, photo):
    height, width = photo.shape[:2]
    padding = (0, -height % 16), (0, -width % 16), (0, 0)
    padded = np.pad(photo, padding, mode="reflect").astype(np.float32)
    encoder = VGG19Encoder(5)
    _, found = encoder.apply({"params": weights.params}, padded[None])
    sides = [(-(-height // 2**k), -(-width // 2**k)) for k in range(5)]
    return {
        k + 1: np.asarray(found[f"block{k + 1}_conv2"])[0, :h, :w]
        for k, (h, w) in enumerate(sides)
    }


def test_a_photo_of_any_size_is_measured_without_its_padding(meter, weights, photo):
    photo = photo[:53, :75]
    moments = meter.measure(photo)
    for level, features in _features(weights, photo).items():
        wanted, got = (
            measure_moments(features.reshape(-1, features.shape[-1])),
            moments[level][WHOLE],
        )
        assert got.count == wanted.count
        np.testing.assert_allclose(got.mean, wanted.mean, rtol=1e-4)
        size = np.abs(wanted.covariance).max()
        np.testing.assert_allclose(got.covariance, wanted.covariance, atol=1e-4 * size)


def test_regions_are_those_of_the_pixels_at_cell_centres(meter, weights, photo):
    photo = photo[:53, :75]
    labels = np.where(np.arange(75) < 40, 7, -2) * np.ones((53, 1), int)
    labels[:5, :5] = 9
    moments = meter.measure(photo, labels)
    assert set(moments[1]) == {-2, 7, 9} and set(moments[5]) == {-2}
    for level, features in _features(weights, photo).items():
        step = 2 ** (level - 1)
        rows, columns = (
            np.minimum(np.arange(n) * step + step // 2, side - 1)
            for n, side in zip(features.shape[:2], (53, 75), strict=True)
        )
        inside = labels[np.ix_(rows, columns)] == 7
        if inside.sum() < 11:
            assert 7 not in moments[level]
            continue
        wanted, got = measure_moments(features[inside]), moments[level][7]
        assert got.count == inside.sum()
        size = np.abs(wanted.covariance).max()
        np.testing.assert_allclose(got.covariance, wanted.covariance, atol=1e-4 * size)


def test_distances_of_regions_are_weighted_by_area_over_common_labels(monkeypatch):
    monkeypatch.setattr(metrics, "BLOCKS", (1,))
    rng = RNG(6)
    areas = {1: 30, 2: 10, 3: 99}
    ours = {k: measure_moments(rng.normal(k, 1, (n, 3))) for k, n in areas.items()}
    theirs = {k: measure_moments(rng.normal(1, k, (50, 3))) for k in (1, 2)}
    got = style_distances({1: ours}, {1: theirs})[1]
    for kind in sorted(got):
        one, two = (moment_distance(ours[k], theirs[k], kind) for k in (1, 2))
        assert got[kind] == pytest.approx((30 * one + 10 * two) / 40)
