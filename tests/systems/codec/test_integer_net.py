"""The predictor in integers beside the one in floats, and the tables."""

import jax.numpy as jnp
import numpy as np
import scipy.stats

from vgg_unpool_jax.systems.codec import integer_net, tables
from vgg_unpool_jax.systems.codec.entropy import (
    NUM_SCALES,
    SCALES,
    logistic_bits,
    mixture_bits,
    scale_of,
)
from vgg_unpool_jax.systems.codec.model import BOTH, checkerboard


def test_integers_predict_as_floats_do(codec):
    generator = np.random.default_rng(0)
    hyper = generator.integers(-9, 10, (2, 3, codec.model.hyper_channels))
    integers = generator.integers(-30, 31, (8, 12, codec.model.channels))
    means, indices = codec.model.apply(
        codec.variables,
        jnp.asarray(hyper[None], jnp.float32),
        jnp.asarray(integers[None], jnp.float32),
        jnp.array([1]),
        method="predict",
    )
    features = codec.net.features(hyper, 1)
    odd = checkerboard(8, 12).astype(bool)
    for step, (first, end, parity) in enumerate(codec.model.steps):
        found, scales = codec.net.predict(features, integers, step, 1)
        mask = np.ones_like(odd) if parity == BOTH else odd == bool(parity)
        expected = np.asarray(means)[0, :, :, first:end]
        assert np.abs(found / 256 - expected)[mask].max() < 0.03
        expected = np.clip(np.asarray(indices)[0, :, :, first:end], 0, NUM_SCALES - 1)
        assert np.abs(scales - expected)[mask].max() < 0.5 + 0.03


def test_later_integers_do_not_change_a_prediction(codec):
    generator = np.random.default_rng(1)
    features = codec.net.features(np.zeros((2, 2, codec.model.hyper_channels)), 0)
    integers = generator.integers(-30, 31, (8, 8, codec.model.channels))
    odd = checkerboard(8, 8).astype(bool)
    for step, (first, end, parity) in enumerate(codec.model.steps):
        hidden = integers.copy()
        if parity == 1:
            hidden[..., first:end][odd] = 99
            hidden[..., end:] = 99
        else:
            hidden[..., first:] = 99
        for found, expected in zip(
            codec.net.predict(features, hidden, step, 0),
            codec.net.predict(features, integers, step, 0),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)


def test_conditional_tables_are_those_of_the_logistic_distribution():
    stored = tables.conditional_tables()
    made = tables.Tables(stored, np.ones((1, 1, 2 * tables.HYPER_REACH + 2), int))
    for mean, scale in ((0.3, 5), (-7.8, 20), (4.5, 40), (100.0, 63)):
        number, middle = made.conditional(
            np.array([round(256 * mean)]), np.array([scale])
        )
        frequencies = made._tables[number[0]]
        assert frequencies.sum() == 2**24 and frequencies.min() >= 1
        fractions = tables.num_fractions(scale)
        rounded = np.floor(mean * fractions + 0.5) / fractions
        reach = tables.reach(scale)
        values = middle[0] + np.arange(-reach, reach + 2)
        distribution = scipy.stats.logistic(rounded, SCALES[scale])
        expected = distribution.cdf(values + 0.5) - distribution.cdf(values - 0.5)
        np.testing.assert_allclose(frequencies[1:] / 2**24, expected, atol=2e-4)


def test_bits_are_those_of_scipy():
    values, means = np.array([-3.0, 0.0, 1.0, 40.0]), np.array([0.2, -0.4, 1.0, 0.0])
    index = np.array([10.0, 30.0, 0.0, 35.0], np.float32)
    np.testing.assert_allclose(scale_of(index), SCALES[index.astype(int)], rtol=1e-4)
    scales = SCALES[index.astype(int)]
    distribution = scipy.stats.logistic(means, scales)
    # By the tail that is away from 1, where differences of it are exact.
    mass = distribution.sf(values - 0.5) - distribution.sf(values + 0.5)
    mass[0] = (distribution.cdf(values + 0.5) - distribution.cdf(values - 0.5))[0]
    bits = logistic_bits(values, means, scales)
    np.testing.assert_allclose(bits, -np.log2(mass), rtol=2e-3)

    logits, middles = np.array([0.0, 1.0]), np.array([-1.0, 2.0])
    weights = np.exp(logits) / np.exp(logits).sum()
    parts = [
        scipy.stats.logistic(m, s).cdf(1.5) - scipy.stats.logistic(m, s).cdf(0.5)
        for m, s in zip(middles, (0.5, 3.0), strict=True)
    ]
    bits = mixture_bits(jnp.array(1.0), logits, middles, np.log([0.5, 3.0]))
    np.testing.assert_allclose(bits, -np.log2(weights @ parts), rtol=1e-4)


def test_no_logarithm_depends_on_how_a_machine_rounds():
    exact = 256 * np.log2(1.0 + np.arange(len(integer_net._LOGARITHMS)))
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-4
    assert integer_net._LOGARITHMS[[0, 1, 3, 1023]].tolist() == [0, 256, 512, 2560]
