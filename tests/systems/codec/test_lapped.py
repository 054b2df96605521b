"""Filters across the borders of blocks, and the codec that starts with them."""

import jax
import numpy as np
import pytest

from configs.codec import photos
from vgg_unpool_jax.systems.codec import preparation
from vgg_unpool_jax.systems.codec.entropy import SCALES
from vgg_unpool_jax.systems.codec.lapped import filter_borders, prefilter
from vgg_unpool_jax.systems.codec.objective import from_config


@pytest.mark.parametrize(("size", "gain"), [(8, 9.57), (16, 9.93)])
def test_coding_gain_is_the_published_one(size, gain):
    """Of a first-order process of correlation 0.95; Tran et al. name 9.6 dB for 8."""
    matrix, blocks = prefilter(size), 5
    length = blocks * size
    whole = np.eye(length)
    for border in range(size, length, size):
        part = slice(border - size // 2, border + size // 2)
        whole[part, part] = matrix
    places = np.arange(length)
    process = 0.95 ** np.abs(places[:, None] - places)
    middle = slice(2 * size, 3 * size)
    variances, vectors = np.linalg.eigh((whole @ process @ whole.T)[middle, middle])
    norms = np.square(np.linalg.inv(whole)[:, middle] @ vectors).sum(axis=0)
    found = -10 * np.mean(np.log10(variances * norms))
    assert found == pytest.approx(gain, abs=0.03)


def test_smooth_borders_become_equal_and_the_inverse_undoes_it():
    generator = np.random.default_rng(0)
    images = generator.normal(size=(2, 24, 16, 3)).astype(np.float32)
    matrix = prefilter(8)
    filtered = filter_borders(images, matrix.astype(np.float32))
    again = filter_borders(filtered, np.linalg.inv(matrix).astype(np.float32))
    np.testing.assert_allclose(again, images, atol=1e-5)
    # Half a block at the border of the image is as it was; one block has no border.
    np.testing.assert_array_equal(filtered[:, :4, :4], images[:, :4, :4])
    one = images[:, :8, :8]
    np.testing.assert_array_equal(filter_borders(one, matrix), one)
    flat = np.full((1, 16, 16, 1), 3.0, np.float32)
    np.testing.assert_allclose(filter_borders(flat, matrix), flat, atol=1e-5)


def test_the_start_rebuilds_what_its_channels_hold():
    """With all components and fine steps, the untrained codec is exact."""
    config = photos.get_config("runlocal")
    config.model.groups, config.model.checkerboards = (768,), 0
    config.loss.lambdas = (1e6,)
    objective = from_config(config)
    generator = np.random.default_rng(0)
    crops = generator.integers(0, 256, (8, 128, 128, 3), np.uint8)
    images = crops[:2].astype(np.float32)
    params, state = objective.init(jax.random.key(0), {"image": images})
    params, state = preparation.prepare(
        config, objective, params, state, lambda *_: iter([crops])
    )
    variables = {"params": params, **state}
    quality = np.zeros(2, np.int32)

    def apply(method, array):
        return objective.model.apply(variables, array, quality, method=method)

    integers = np.round(apply("encode", images))
    rebuilt = np.asarray(apply("decode", integers))
    # Steps of 0.005 cost an error of 0.005²/12 each.
    assert np.abs(rebuilt - images).max() < 0.02
    assert np.abs(apply("decode", 0.9 * integers) - images).max() > 1.0


def test_scales_of_the_start_are_those_of_the_latents():
    generator = np.random.default_rng(0)
    scales, steps = np.array([20.0, 100.0, 0.01]), np.array([10.0, 20.0])
    latents = generator.logistic(size=(20_000, 3)) * scales
    indices = preparation._base_indices(latents, steps)
    found = SCALES[indices.astype(int)]
    expected = scales / steps[:, None]
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=0.1)
    # A channel that is always zero has the smallest scale.
    assert (indices[:, 2] == 0).all()
