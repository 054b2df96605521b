"""Photos of many sizes: few compilations, and the results of each size by itself."""

import gc

import jax
import numpy as np
import pytest

from tests.systems.unpooling.export.conftest import make_pair
from vgg_unpool_jax.systems.unpooling import shapes
from vgg_unpool_jax.systems.unpooling.decoder import UnpoolingDecoder

# In one bucket, with sides that are even and sides that are not.
SIZES = [(100, 84), (97, 70), (65, 127), (122, 68)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"), 2)


@pytest.fixture
def traced(made, monkeypatch):
    """The pair, without programs, and how often its encoder was traced."""
    for name in ("_jitted_encode", "_jitted_decode", "_jitted_reconstruct"):
        made.__dict__.pop(name, None)
    count, encode = [], made._encode

    def counted(*arguments):
        count.append(arguments)
        return encode(*arguments)

    monkeypatch.setattr(made, "_encode", counted)
    return made, count


def _photo(height, width):
    shape = 1, height, width, 3
    return np.random.default_rng(height).uniform(0, 255, shape).astype(np.float32)


def test_sizes_of_a_bucket_share_a_program_and_keep_their_results(traced):
    pair, count = traced
    found = [pair.reconstruct(_photo(*size)) for size in SIZES]
    assert len(count) == shapes.EXACT_SHAPES + 1
    again = [pair.reconstruct(_photo(*size)) for size in SIZES[:1]]
    np.testing.assert_array_equal(again[0], found[0])
    assert len(count) == shapes.EXACT_SHAPES + 1
    variables = pair.encoder_params, pair.decoder_variables
    for size, outputs in list(zip(SIZES, found, strict=True))[shapes.EXACT_SHAPES :]:
        alone = jax.jit(lambda images: pair._reconstruct(variables, images))
        wanted = alone(_photo(*size))
        assert outputs.shape == wanted.shape == (1, *size, 3)
        # At the borders, too, and what they affect is more than 5 % of the pixels. One
        # switch of two values that are equal up to rounding affects 0.3 %.
        assert np.mean(np.abs(outputs - wanted) < 1e-2) > 0.99


def test_a_bias_of_upsampling_stays_out_of_the_padding():
    decoder = UnpoolingDecoder(2, upsampling="transposed", convolution="xla")
    rng = np.random.default_rng(0)

    def encoded(height, width):
        features = rng.uniform(0, 2, (1, height // 2, width // 2, 128))
        switches = np.zeros((1, height // 2, width // 2, 64), np.uint8)
        return features.astype(np.float32), (switches,)

    variables = jax.tree.map(
        np.array, jax.jit(decoder.init)(jax.random.key(0), *encoded(8, 8))
    )
    variables["params"]["transposed1"]["bias"][:] = rng.normal(size=64)
    decode = shapes.ShapedPrograms(
        lambda variables, arrays, size: decoder.apply(variables, *arrays, size)[0]
    )
    for size in [(8, 8), (8, 12), (20, 26)][: shapes.EXACT_SHAPES + 1]:
        arrays = encoded(*size)
        found = decode(variables, arrays, size)
    wanted = decoder.apply(variables, *arrays)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_features_and_switches_are_those_of_the_size_alone(traced):
    pair, count = traced
    sizes = [(100, 84), (96, 68), (68, 112)]
    found = [pair.encode(_photo(*size)) for size in sizes]
    assert len(count) == shapes.EXACT_SHAPES + 1
    photo = _photo(*sizes[-1])
    alone = jax.jit(lambda images: pair._encode(pair.encoder_params, images))(photo)
    for ours, wanted in zip(
        jax.tree.leaves(found[-1]), jax.tree.leaves(alone), strict=True
    ):
        assert ours.shape == wanted.shape and ours.dtype == wanted.dtype
        scale = np.max(np.abs(wanted))
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5 * scale)
    decoded = [pair.decode(*encoded) for encoded in found]
    wanted = jax.jit(lambda encoded: pair._decode(pair.decoder_variables, encoded))
    np.testing.assert_allclose(decoded[-1], wanted(found[-1]), rtol=0, atol=1e-2)
    assert len(pair._jitted_decode._programs) == shapes.EXACT_SHAPES + 1


@pytest.mark.extended
def test_programs_that_were_not_used_for_long_are_given_back(monkeypatch):
    monkeypatch.setattr(shapes, "MAX_PROGRAMS", 3)
    programs = shapes.ShapedPrograms(lambda variables, arrays, size: arrays * variables)
    alive = []
    for number in range(1, 9):
        images = np.ones((1, 60 * number, 8, 3), np.float32)
        outputs = programs(np.float32(2), images, images.shape[1:3])
        np.testing.assert_array_equal(outputs, 2 * images)
        gc.collect()
        alive.append(len(jax.devices()[0].client.live_executables()))
    assert alive[-1] == alive[4]  # the executables, too
