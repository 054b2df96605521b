"""AlexNet and VGG16 against torch's layers, with weights that nobody has trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.nets.alexnet import ALEXNET_LAYERS, AlexNet
from vgg_unpool_jax.nets.vgg16 import VGG16, VGG16_CONVOLUTIONS, VGG16_LAYERS
from vgg_unpool_jax.pretrained.networks import random_network_weights

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def _images(*size):
    return np.random.default_rng(1).uniform(0, 255, (2, *size, 3)).astype(np.float32)


def _weights(network):
    params = random_network_weights(network).params
    for layer in params.values():  # zeros would hide a bias that is not added
        layer["bias"][:] = np.linspace(-0.5, 0.5, len(layer["bias"]))
    return params


def _torch_layers(params, images, layers, options, pool):
    """Outputs of all layers by torch, NHWC."""
    torch = pytest.importorskip("torch")
    values = torch.from_numpy((images / 255 - MEAN) / STD).float().permute(0, 3, 1, 2)
    found = {}
    for name in layers:
        if name in params:
            kernel, bias = params[name]["kernel"], params[name]["bias"]
            kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            values = torch.conv2d(
                values, kernel, torch.from_numpy(bias), **options(name)
            ).relu()
        else:
            values = torch.nn.functional.max_pool2d(values, pool, 2)
        found[name] = values.permute(0, 2, 3, 1).numpy()
    return found


def _assert_same(found, wanted):
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        assert found[name].shape == values.shape, name
        scale = np.abs(values).max()
        np.testing.assert_allclose(found[name], values, atol=1e-4 * scale, err_msg=name)


def test_alexnet_is_torchvisions():
    params, images = _weights("alexnet"), _images(67, 90)

    def options(name):
        if name == "conv1":
            return {"stride": 4, "padding": 2}
        return {"padding": 2 if name == "conv2" else 1}

    outputs, found = jax.jit(AlexNet("pool5").apply)({"params": params}, images)
    _assert_same(found, _torch_layers(params, images, ALEXNET_LAYERS, options, 3))
    np.testing.assert_array_equal(outputs, found["pool5"])


def test_vgg16_is_torchvisions():
    params, images = _weights("vgg16"), _images(35, 50)
    outputs, found = jax.jit(VGG16("block5_pool").apply)({"params": params}, images)
    wanted = _torch_layers(
        params, images, VGG16_LAYERS, lambda _: {"padding": 1}, pool=2
    )
    _assert_same(found, wanted)
    np.testing.assert_array_equal(outputs, found["block5_pool"])


@pytest.mark.parametrize(
    ("net", "count"),
    [
        # torchvision's AlexNet and VGG16 have 61,100,840 and 138,357,544 parameters,
        # of which 58,631,144 and 123,642,856 are those of the classifiers.
        (AlexNet(), 2_469_696),
        (VGG16(), 14_714_688),
        (VGG16("block2_conv1", pooling="l2"), 1_792 + 36_928 + 73_856),
    ],
)
def test_parameters_up_to_the_cut(net, count):
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(net.init, jax.random.key(0), images)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_the_table_has_torchvisions_indices():
    indices = [layer.torchvision_index for layer in VGG16_CONVOLUTIONS]
    assert indices == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


@pytest.mark.parametrize(
    ("net", "side", "words"),
    [
        (AlexNet(), 30, "at least 31 pixels for AlexNet up to conv5"),
        (VGG16(), 15, "at least 16 pixels for VGG16 up to block5_conv3"),
        (AlexNet("conv6"), 64, "last must be one of conv1, .* got 'conv6'"),
        (VGG16(pooling="mean"), 64, "pooling must be one of max, l2, got 'mean'"),
    ],
)
def test_what_cannot_be_computed_is_refused(net, side, words):
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(net.init, jax.random.key(0), images)
