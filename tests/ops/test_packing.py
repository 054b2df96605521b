"""Codes of two bits, four to a byte."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops import max_pool_argmax, pack_codes, unpack_codes


def _codes(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 64])
def test_round_trip_for_any_number_of_channels(channels):
    codes = _codes((2, 3, 2, channels))
    packed = pack_codes(codes)
    assert packed.dtype == jnp.uint8
    assert packed.shape == (2, 3, 2, -(-channels // 4))
    np.testing.assert_array_equal(unpack_codes(packed, channels), codes)


def test_the_layout_is_the_documented_one():
    codes = np.array([1, 2, 3, 0, 2], np.uint8)  # q = 2: runs (1 2), (3 0), (2 -), -
    np.testing.assert_array_equal(pack_codes(codes), [0b00_10_11_01, 0b00_00_00_10])


def test_every_byte_unpacks_to_four_codes_and_back():
    packed = np.arange(256, dtype=np.uint8)[:, None]
    codes = unpack_codes(packed, 4)
    assert int(codes.max()) == 3
    np.testing.assert_array_equal(pack_codes(codes), packed)


def test_a_bad_code_inside_jit_leaves_its_neighbours_alone():
    codes = jnp.asarray([255, 1, 2, 3], jnp.uint8)
    np.testing.assert_array_equal(
        unpack_codes(jax.jit(pack_codes)(codes), 4), [3, 1, 2, 3]
    )


def test_switches_take_an_eighth_and_a_thirty_second_of_int64_indices():
    images = jnp.ones((1, 8, 8, 64))
    pooled, codes = max_pool_argmax(images)
    _, packed = max_pool_argmax(images, packed=True)
    assert pooled.size * 8 == 8 * codes.nbytes == 32 * packed.nbytes


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: pack_codes(np.full((4,), 4, np.uint8)), "codes hold 4"),
        (
            lambda: unpack_codes(np.zeros((2, 4), np.uint8), 12),
            r"3 bytes on its last axis for 12 channels, got shape \(2, 4\)",
        ),
    ],
)
def test_bad_arguments_get_a_sentence(function, words):
    with pytest.raises(ValueError, match=words):
        function()
