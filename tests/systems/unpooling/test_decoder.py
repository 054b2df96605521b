"""The decoder: the mirror of the encoder, its parameters, shapes and scaling."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.ops import max_unpool
from vgg_unpool_jax.systems.unpooling.decoder import (
    STATISTICS,
    UnpoolingDecoder,
    measure_feature_rms,
)


def _layer(inputs, outputs):
    return 9 * inputs * outputs + outputs


# Every encoder layer turned round, from blockX_conv2 down to block1_conv1.
_BLOCK1 = _layer(64, 64) + _layer(64, 3)
_BLOCK2 = _layer(128, 128) + _layer(128, 64)
_BLOCK3_TOP = 2 * _layer(256, 256)  # mirrors of block3_conv4 and conv3
_BLOCK3 = _layer(256, 256) + _layer(256, 128)
_BLOCK4_TOP = 2 * _layer(512, 512)  # mirrors of block4_conv4 and conv3
_BLOCK4 = _layer(512, 512) + _layer(512, 256)
_BLOCK5 = _layer(512, 512) + _layer(512, 512)
PARAMETERS = {
    1: _BLOCK1,
    2: _BLOCK2 + _BLOCK1,
    3: _BLOCK3 + _BLOCK2 + _BLOCK1,
    4: _BLOCK4 + _BLOCK3_TOP + _BLOCK3 + _BLOCK2 + _BLOCK1,
    5: _BLOCK5 + _BLOCK4_TOP + _BLOCK4 + _BLOCK3_TOP + _BLOCK3 + _BLOCK2 + _BLOCK1,
}
CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}

# The whole mirror of block 3, written out: output channels by name.
BLOCK3_MIRROR = {
    "block3_conv2": 256,
    "block3_conv1": 128,
    "unpool2": 128,
    "block2_conv2": 128,
    "block2_conv1": 64,
    "unpool1": 64,
    "block1_conv2": 64,
    "block1_conv1": 3,
}


def _inputs(block, n=1, height=32, width=48):
    """Shapes of features and switches for images of height×width."""
    scale = 2 ** (block - 1)
    features = jax.ShapeDtypeStruct(
        (n, height // scale, width // scale, CHANNELS[block]), jnp.float32
    )
    switches = tuple(
        jax.ShapeDtypeStruct(
            (n, height // 2**pool, width // 2**pool, CHANNELS[pool]), jnp.uint8
        )
        for pool in range(1, block)
    )
    return features, switches


def _random_inputs(block, seed=0, **size):
    features, switches = _inputs(block, **size)
    rng = np.random.default_rng(seed)
    return (
        jnp.asarray(rng.uniform(0, 9, features.shape), jnp.float32),
        tuple(jnp.asarray(rng.integers(0, 4, s.shape), jnp.uint8) for s in switches),
    )


def _initialised(decoder, features, switches):
    return jax.jit(decoder.init)(jax.random.key(0), features, switches)


def _random_params(decoder, features, switches):
    """Parameters drawn by NumPy: compiling JAX's generator costs seconds a block."""
    shapes = jax.eval_shape(decoder.init, jax.random.key(0), features, switches)
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.05, leaf.shape), jnp.float32),
        shapes["params"],
    )


def test_the_hand_counts_of_the_small_blocks_are_those_of_the_design():
    assert [PARAMETERS[block] for block in (1, 2, 3)] == [38_659, 260_035, 1_145_155]


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_decoder_has_the_mirrored_kernels_and_parameters_of_a_hand_count(block):
    init = UnpoolingDecoder(block).init
    params = jax.eval_shape(init, jax.random.key(0), *_inputs(block))["params"]
    leaves = jax.tree.leaves(params)
    assert sum(math.prod(leaf.shape) for leaf in leaves) == PARAMETERS[block]
    assert set(params) == {layer.name for layer in convolutions_up_to(block)}
    for layer in convolutions_up_to(block):
        turned = (3, 3, layer.outputs, layer.inputs)
        assert params[layer.name]["kernel"].shape == turned


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_decoder_takes_what_the_encoder_gives_and_returns_its_image_shape(block):
    images = jax.ShapeDtypeStruct((2, 32, 48, 3), jnp.float32)
    encoder, decoder = VGG19Encoder(block), UnpoolingDecoder(block)

    def round_trip(images):
        (features, named), _ = encoder.init_with_output(jax.random.key(0), images)
        (outputs, _), _ = decoder.init_with_output(
            jax.random.key(1), features, named["switches"]
        )
        return outputs

    outputs = jax.eval_shape(round_trip, images)
    assert outputs.shape == images.shape
    assert outputs.dtype == jnp.float32


def test_intermediates_are_the_whole_mirror_by_name():
    decoder = UnpoolingDecoder(3)
    features, switches = _inputs(3)
    (outputs, named), _ = jax.eval_shape(
        decoder.init_with_output, jax.random.key(0), features, switches
    )
    assert {name: array.shape[-1] for name, array in named.items()} == BLOCK3_MIRROR
    assert outputs.shape == named["block1_conv1"].shape


def test_each_pool_unpools_with_its_own_switches():
    features, switches = _random_inputs(3, height=8, width=8)
    decoder = UnpoolingDecoder(3)
    variables = {"params": _random_params(decoder, features, switches)}
    before, named = decoder.apply(variables, features, switches)
    for pool, below in ((2, "block3_conv1"), (1, "block2_conv1")):
        expected = max_unpool(named[below], switches[pool - 1])
        np.testing.assert_array_equal(named[f"unpool{pool}"], expected)
    # Other switches, other image: the decoder does look at them.
    turned = tuple(3 - codes for codes in switches)
    after, _ = decoder.apply(variables, features, turned)
    assert float(jnp.max(jnp.abs(before - after))) > 1e-3


def test_without_switches_nearest_neighbours_or_a_transposed_convolution_upsample():
    features, switches = _random_inputs(2, height=8, width=8)
    other = tuple(3 - codes for codes in switches)
    for upsampling in ("nearest", "transposed"):
        decoder = UnpoolingDecoder(2, upsampling=upsampling)
        params = _random_params(decoder, features, switches)
        outputs, named = decoder.apply({"params": params}, features, switches)
        same, _ = decoder.apply({"params": params}, features, other)
        np.testing.assert_array_equal(outputs, same)
        below, above = (np.asarray(named[n]) for n in ("block2_conv1", "unpool1"))
        if upsampling == "nearest":
            expected = below.repeat(2, axis=1).repeat(2, axis=2)
        else:
            kernel, bias = (params["transposed1"][n] for n in ("kernel", "bias"))
            # As `ops.conv_transpose` counts the taps, from the far end.
            expected = np.einsum("nhwi,yxio->nhywxo", below, kernel[::-1, ::-1])
            expected = expected.reshape(above.shape) + np.asarray(bias)
        np.testing.assert_allclose(above, expected, rtol=1e-4, atol=1e-4)


def test_a_transposed_convolution_keeps_the_scale_of_the_features():
    features, switches = _inputs(3)
    decoder = UnpoolingDecoder(3, upsampling="transposed")
    params = jax.eval_shape(decoder.init, jax.random.key(0), features, switches)
    sizes = {
        name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(layer))
        for name, layer in params["params"].items()
        if name.startswith("transposed")
    }
    assert sizes == {"transposed2": 4 * 128**2 + 128, "transposed1": 4 * 64**2 + 64}
    features, switches = _random_inputs(2, height=8, width=8)
    decoder = UnpoolingDecoder(2, upsampling="transposed")
    variables = jax.jit(decoder.init)(jax.random.key(0), features, switches)
    _, named = decoder.apply(variables, features, switches)
    ratio = jnp.mean(named["unpool1"] ** 2) / jnp.mean(named["block2_conv1"] ** 2)
    assert 0.7 < float(ratio) < 1.4


def test_all_but_the_last_convolution_are_rectified():
    features, switches = _random_inputs(2, height=16, width=16)
    decoder = UnpoolingDecoder(2)
    variables = {"params": _random_params(decoder, features, switches)}
    outputs, named = decoder.apply(variables, features, switches)
    for name, array in named.items():
        if name != "block1_conv1":
            assert float(jnp.min(array)) >= 0
    assert float(jnp.min(outputs)) < 0  # linear: random kernels give both signs


@pytest.mark.parametrize("block", [1, 2])
def test_normalisation_and_scaling_equal_a_plain_decoder_with_folded_kernels(block):
    features, switches = _random_inputs(block, height=16, width=16)
    scale, level = 64.0, 114.0
    decoder = UnpoolingDecoder(
        block, normalize_features=True, output_scale=scale, initial_output=level
    )
    params = _random_params(decoder, features, switches)
    rng = np.random.default_rng(5)
    rms = jnp.asarray(rng.uniform(0.5, 20, features.shape[-1:]), jnp.float32)
    scaled, _ = decoder.apply(
        {"params": params, STATISTICS: {"feature_rms": rms}}, features, switches
    )

    first, last = f"block{block}_conv2", "block1_conv1"
    folded = {name: dict(layer) for name, layer in params.items()}
    folded[first]["kernel"] = params[first]["kernel"] / rms[:, None]
    folded[last]["kernel"] = params[last]["kernel"] * scale
    folded[last]["bias"] = params[last]["bias"] * scale
    plain, _ = UnpoolingDecoder(block).apply({"params": folded}, features, switches)
    np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-2)


def test_the_output_starts_at_the_initial_level():
    features, switches = _random_inputs(1, height=8, width=8)
    decoder = UnpoolingDecoder(1, output_scale=64.0, initial_output=114.0)
    variables = _initialised(decoder, features, switches)
    outputs, _ = decoder.apply(variables, jnp.zeros_like(features), switches)
    np.testing.assert_allclose(outputs, np.full(outputs.shape, 114.0), rtol=1e-6)


def test_a_plain_decoder_keeps_no_statistics_and_starts_at_zero():
    features, switches = _random_inputs(1, height=8, width=8)
    variables = _initialised(UnpoolingDecoder(1), features, switches)
    assert set(variables) == {"params"}
    assert not np.any(variables["params"]["block1_conv1"]["bias"])


def test_a_normalising_decoder_starts_with_unit_statistics():
    features, switches = _random_inputs(1, height=8, width=8)
    decoder = UnpoolingDecoder(1, normalize_features=True)
    variables = _initialised(decoder, features, switches)
    np.testing.assert_array_equal(variables[STATISTICS]["feature_rms"], np.ones(64))


def test_feature_rms_is_the_root_mean_square_of_each_channel():
    features = jnp.asarray(
        [[[[3.0, 0.0], [4.0, 10.0]], [[0.0, 0.0], [0.0, 0.0]]]], jnp.float32
    )
    hand = [math.sqrt((9 + 16) / 4), math.sqrt(100 / 4)]
    np.testing.assert_allclose(measure_feature_rms(features), hand, rtol=1e-6)


def test_a_silent_channel_is_floored_at_a_thousandth_of_the_loudest():
    features = jnp.zeros((1, 2, 2, 3)).at[..., 1].set(500.0).at[..., 2].set(1e-3)
    np.testing.assert_allclose(
        measure_feature_rms(features), [0.5, 500.0, 0.5], rtol=1e-6
    )
    assert np.all(np.asarray(measure_feature_rms(jnp.zeros((1, 2, 2, 3)))) > 0)


# --- inputs that do not fit -----------------------------------------------------------


def _decode(block, features, switches):
    decoder = UnpoolingDecoder(block)
    return jax.eval_shape(decoder.init, jax.random.key(0), features, switches)


def test_switches_in_the_wrong_order_are_refused_with_both_shapes():
    features, switches = _random_inputs(3, height=8, width=8)
    wanted = r"pool 1 must have shape \(1, 4, 4, 64\), got \(1, 2, 2, 128\)"
    with pytest.raises(ValueError, match=wanted):
        _decode(3, features, switches[::-1])
