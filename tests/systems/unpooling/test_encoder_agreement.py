"""Two encoders that are made up, compared by hand."""

import numpy as np
import pytest

from vgg_unpool_jax.systems.unpooling.encoder_agreement import EncoderAgreement


def _encode(images):
    switches = np.zeros((len(images), 2, 2, 1), np.uint8)
    return images, (switches, switches)


def _encode_otherwise(images):
    features, (first, second) = _encode(images)
    second = second.copy()
    second[0, 0, 0, 0] = 3
    return features * np.asarray([1.1, 0.5]).reshape(-1, 1, 1, 1), (first, second)


def test_errors_are_relative_and_switches_are_counted_for_each_photo():
    agreement = EncoderAgreement(_encode, _encode_otherwise)
    images = np.random.default_rng(0).uniform(1, 2, (2, 4, 4, 3))
    agreement.observe({"image": images}, None)
    assert agreement.feature_errors == pytest.approx([0.1, 0.5])
    assert agreement.switch_agreements == [[1, 0.75], [1, 1]]
    assert agreement.report() == (
        "features differ by 30.00%, switches of pool2 agree to 87.50%"
    )


def test_an_encoder_without_pools_has_features_alone():
    agreement = EncoderAgreement(lambda x: (x, ()), lambda x: (x + x, ()))
    agreement.observe({"image": np.ones((3, 2, 2, 1))}, None)
    assert agreement.report() == "features differ by 100.00%"
