"""Weights moved as a rounding moves them."""

import numpy as np
import pytest

from vgg_unpool_jax.pretrained.rounding import perturb_by_rounding
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights


@pytest.fixture(scope="module")
def weights():
    return random_vgg19_weights(0, block=2)


def test_only_the_kernels_of_the_named_blocks_move(weights):
    moved = perturb_by_rounding(weights, blocks=[2])
    for name, layer in weights.params.items():
        same = np.array_equal(moved.params[name]["kernel"], layer["kernel"])
        assert same == name.startswith("block1_")
        np.testing.assert_array_equal(moved.params[name]["bias"], layer["bias"])
    assert moved.sha256 != weights.sha256
    assert moved.preprocessing == weights.preprocessing
    assert "8 bits" in moved.origin


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_the_noise_is_as_large_as_that_of_a_rounding(weights, bits):
    kernel = weights.params["block2_conv2"]["kernel"]
    step = (kernel.max() - kernel.min()) / (2**bits - 1)
    rounded = kernel.min() + np.round((kernel - kernel.min()) / step) * step
    moved = perturb_by_rounding(weights, blocks=[2], bits=bits)
    noise = moved.params["block2_conv2"]["kernel"] - kernel
    assert np.abs(noise).max() <= step / 2 * 1.0001
    if bits > 1:  # where few steps are taken, errors are not evenly spread
        ratio = np.std(noise) / np.std(rounded - kernel)
        assert ratio == pytest.approx(1, abs=0.05)


def test_a_seed_gives_one_draw(weights):
    first, again, other = (
        perturb_by_rounding(weights, blocks=[1], seed=seed) for seed in (0, 0, 1)
    )
    assert first.sha256 == again.sha256 != other.sha256


def test_no_bits_are_refused(weights):
    with pytest.raises(ValueError, match="bits must be at least 1, got 0"):
        perturb_by_rounding(weights, bits=0)
