"""The encoder: layers, shapes, preprocessing, and parity with Keras and torch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.nets.vgg19 import VGG19Encoder, preprocess
from vgg_unpool_jax.nets.vgg19_layers import (
    check_block,
    convolutions_up_to,
    size_multiple,
)
from vgg_unpool_jax.ops import codes_to_tensorflow
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights

# Kernel 3·3·in·out and out biases of each layer up to blockX_conv2, counted by hand
# from table 1 of arXiv 1409.1556 (configuration E).
_BLOCK1 = (9 * 3 * 64 + 64) + (9 * 64 * 64 + 64)
_BLOCK2 = (9 * 64 * 128 + 128) + (9 * 128 * 128 + 128)
_BLOCK3 = (9 * 128 * 256 + 256) + (9 * 256 * 256 + 256)
_BLOCK3_REST = 2 * (9 * 256 * 256 + 256)
_BLOCK4 = (9 * 256 * 512 + 512) + (9 * 512 * 512 + 512)
_BLOCK4_REST = 2 * (9 * 512 * 512 + 512)
_BLOCK5 = 2 * (9 * 512 * 512 + 512)
PARAMETERS = {
    1: _BLOCK1,
    2: _BLOCK1 + _BLOCK2,
    3: _BLOCK1 + _BLOCK2 + _BLOCK3,
    4: _BLOCK1 + _BLOCK2 + _BLOCK3 + _BLOCK3_REST + _BLOCK4,
    5: _BLOCK1 + _BLOCK2 + _BLOCK3 + _BLOCK3_REST + _BLOCK4 + _BLOCK4_REST + _BLOCK5,
}
CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
LAYERS = {
    1: ["block1_conv1", "block1_conv2"],
    2: ["block2_conv1", "block2_conv2"],
    3: [f"block3_conv{i}" for i in (1, 2, 3, 4)],
    4: [f"block4_conv{i}" for i in (1, 2, 3, 4)],
    5: [f"block5_conv{i}" for i in (1, 2, 3, 4)],
}


def _image_shape(n, height, width):
    return jax.ShapeDtypeStruct((n, height, width, 3), jnp.float32)


def _variable_shapes(block):
    init = VGG19Encoder(block).init
    return jax.eval_shape(init, jax.random.key(0), _image_shape(1, 16, 16))


def _names_up_to(block):
    names = [name for number in range(1, block) for name in LAYERS[number]]
    return names + LAYERS[block][:2]


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_encoder_has_the_parameters_of_a_hand_count(block):
    leaves = jax.tree.leaves(_variable_shapes(block)["params"])
    assert sum(math.prod(leaf.shape) for leaf in leaves) == PARAMETERS[block]


def test_the_last_hand_count_is_the_published_network_less_two_layers():
    # Keras says 20,024,384 for VGG19 without top; block5_conv3 and conv4 are cut off.
    assert PARAMETERS[5] == 20_024_384 - 2 * (9 * 512 * 512 + 512)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_features_switches_and_intermediates_have_names_and_shapes(block):
    height, width = 32, 48
    images = _image_shape(2, height, width)
    apply = VGG19Encoder(block).apply
    features, intermediates = jax.eval_shape(apply, _variable_shapes(block), images)
    scale = 2 ** (block - 1)
    wanted = (2, height // scale, width // scale, CHANNELS[block])
    assert features.shape == wanted

    switches = intermediates.pop("switches")
    assert [codes.dtype for codes in switches] == [jnp.uint8] * (block - 1)
    assert [codes.shape for codes in switches] == [
        (2, height // 2**pool, width // 2**pool, CHANNELS[pool])
        for pool in range(1, block)
    ]
    assert set(intermediates) == set(_names_up_to(block))
    for name, array in intermediates.items():
        number = int(name[len("block")])
        side = 2 ** (number - 1)
        assert array.shape == (2, height // side, width // side, CHANNELS[number])


def test_the_features_are_the_last_named_intermediate():
    weights = random_vgg19_weights(0, block=2)
    images = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    features, named = VGG19Encoder(2).apply({"params": weights.params}, images)
    np.testing.assert_array_equal(features, named["block2_conv2"])
    assert all(float(jnp.min(v)) >= 0 for k, v in named.items() if k != "switches")


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_layers_come_in_order_and_end_at_the_second_of_the_block(block):
    layers = convolutions_up_to(block)
    assert [layer.name for layer in layers] == _names_up_to(block)
    params = _variable_shapes(block)["params"]
    for layer in layers:
        assert params[layer.name]["kernel"].shape == layer.shape("kernel")


@pytest.mark.parametrize(("block", "axis"), [(2, 1), (5, 2)])
def test_a_side_that_is_no_multiple_is_refused_with_the_multiple(block, axis):
    multiple = 2 ** (block - 1)
    assert size_multiple(block) == multiple
    shape = [1, 32, 32, 3]
    shape[axis] += multiple // 2
    wrong = f"multiples of {multiple} for an encoder of block {block}, got"
    with pytest.raises(ValueError, match=f"{wrong} {shape[1]}×{shape[2]}"):
        VGG19Encoder(block).init(jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize("block", [0, 6, True])
def test_a_block_that_is_not_one_to_five_is_refused(block):
    with pytest.raises(ValueError, match="block must be 1, 2, 3, 4 or 5, got"):
        check_block(block)


def test_caffe_preprocessing_is_bgr_minus_the_imagenet_mean():
    image = np.array([[[[255.0, 100.0, 0.0]]]], np.float32)  # R, G, B
    hand = [0.0 - 103.939, 100.0 - 116.779, 255.0 - 123.68]  # B, G, R
    np.testing.assert_allclose(
        preprocess(image, "caffe")[0, 0, 0], np.float32(hand), rtol=1e-6
    )


def test_torchvision_preprocessing_is_normalised_rgb():
    image = np.array([[[[255.0, 51.0, 0.0]]]], np.float32)
    hand = [(1.0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.0 - 0.406) / 0.225]
    np.testing.assert_allclose(
        preprocess(image, "torchvision")[0, 0, 0], np.float32(hand), rtol=1e-5
    )


def test_torchvision_weights_give_torchs_features_and_switches():
    torch = pytest.importorskip("torch")
    weights = random_vgg19_weights(3, block=2, preprocessing="torchvision")
    rng = np.random.default_rng(4)
    params = {
        name: {
            "kernel": layer["kernel"],
            "bias": rng.normal(size=layer["bias"].shape).astype(np.float32),
        }
        for name, layer in weights.params.items()
    }
    images = rng.uniform(0, 255, (2, 12, 20, 3)).astype(np.float32)
    encoder = VGG19Encoder(2, "torchvision")
    features, named = encoder.apply({"params": params}, images)

    # torchvision's own transform, written in torch, then nn.Conv2d in NCHW.
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    outputs = torch.from_numpy(images).permute(0, 3, 1, 2)
    outputs = (outputs / 255.0 - mean) / std
    with torch.no_grad():
        for name, layer in params.items():
            kernel = torch.from_numpy(layer["kernel"])
            out_channels, in_channels = kernel.shape[3], kernel.shape[2]
            if name == "block2_conv1":
                outputs = torch.nn.functional.max_pool2d(outputs, 2)
            convolution = torch.nn.Conv2d(in_channels, out_channels, 3, padding=1)
            convolution.weight.copy_(kernel.permute(3, 2, 0, 1))
            convolution.bias.copy_(torch.from_numpy(layer["bias"]))
            outputs = torch.relu(convolution(outputs))
            ours = np.asarray(named[name])
            theirs = outputs.permute(0, 2, 3, 1).numpy()
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(features, named["block2_conv2"])


# --- parity with Keras on a real photo ------------------------------------------------


@pytest.fixture(scope="module")
def photo(photos_folder):
    """One COCO photo, 96×112 from its middle, float32 (1, h, w, 3)."""
    path = sorted((photos_folder / "coco_test").iterdir())[0]
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
    top, left = (pixels.shape[0] - 96) // 2, (pixels.shape[1] - 112) // 2
    return pixels[None, top : top + 96, left : left + 112]


@pytest.fixture(scope="module")
def keras_outputs(vgg19_weights_path, photo):
    """Keras' outputs at every layer by name, its own preprocessing included."""
    tf = pytest.importorskip("tensorflow")
    network = tf.keras.applications.VGG19(
        include_top=False, weights=str(vgg19_weights_path)
    )
    wanted = [layer for layer in network.layers if "block" in layer.name]
    every = tf.keras.Model(network.input, [layer.output for layer in wanted])
    inputs = tf.keras.applications.vgg19.preprocess_input(photo.copy())
    outputs = every(inputs, training=False)
    return {
        layer.name: np.asarray(output)
        for layer, output in zip(wanted, outputs, strict=True)
    }


@pytest.fixture(scope="module")
def our_outputs(vgg19_weights_path, photo):
    """The intermediates of the whole encoder on the same photo."""
    weights = load_vgg19_weights(vgg19_weights_path)
    apply = jax.jit(VGG19Encoder(5, weights.preprocessing).apply)
    return apply({"params": weights.params}, photo)[1]


def _relative_error(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.mark.real_data
@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_features_equal_those_of_keras_at_every_cut(
    block, our_outputs, keras_outputs, vgg19_weights_path, photo
):
    name = f"block{block}_conv2"
    theirs = keras_outputs[name]
    ours = np.asarray(our_outputs[name])
    assert _relative_error(ours, theirs) < 1e-4
    assert np.max(np.abs(ours - theirs)) < 1e-4 * np.max(np.abs(theirs))
    # The encoder that is cut here ends in the same array.
    weights = load_vgg19_weights(vgg19_weights_path, block=block)
    encoder = VGG19Encoder(block, weights.preprocessing)
    cut, _ = jax.jit(encoder.apply)({"params": weights.params}, photo)
    assert _relative_error(np.asarray(cut), theirs) < 1e-4


@pytest.mark.real_data
@pytest.mark.parametrize("pool", [1, 2, 3, 4])
def test_switches_equal_tensorflows_argmax_of_keras_features(
    pool, our_outputs, keras_outputs
):
    tf = pytest.importorskip("tensorflow")
    last = LAYERS[pool][-1]
    features = keras_outputs[last]
    pooled, flat = tf.nn.max_pool_with_argmax(features, 2, 2, "VALID")
    codes = our_outputs["switches"][pool - 1]
    ours = np.asarray(codes_to_tensorflow(codes, features.shape))
    agree = ours == np.asarray(flat)
    # Two programs round differently, so a near tie may fall either way: where the
    # positions differ, the two values must be equal to rounding.
    at_ours = features.reshape(-1)[ours]
    np.testing.assert_allclose(
        at_ours, np.asarray(pooled), rtol=0, atol=1e-4 * np.max(features)
    )
    # Windows that are zero throughout are ties too; both take the first.
    assert agree.mean() > 0.999
