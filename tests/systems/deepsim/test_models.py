"""Generators and discriminator against published counts, sizes and torch's layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.deepsim import alexnet, autoencoder, vgg19
from vgg_unpool_jax.pretrained.feature_layers import FeatureLayer
from vgg_unpool_jax.systems.deepsim.layers import Layer, Stack, up
from vgg_unpool_jax.systems.deepsim.models import (
    Autoencoder,
    Discriminator,
    Generator,
)
from vgg_unpool_jax.systems.deepsim.objective import inverted_layer, make_model


def shapes_of(model, *arguments, **options):
    """Shapes of parameters and outputs, without computing anything."""

    def apply(*arrays):
        variables = model.init(jax.random.key(0), *arrays, *arguments, **options)
        return variables["params"], model.apply(
            variables, *arrays, *arguments, **options
        )

    return lambda *sizes: jax.eval_shape(
        apply, *(jax.ShapeDtypeStruct(size, np.float32) for size in sizes)
    )


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_generator_of_pool5_is_the_published_one():
    config = alexnet.get_config("published")
    model = make_model(config)
    params, images = shapes_of(model, (227, 227), method="decode")((2, 6, 6, 256))
    assert count(params) == 12_700_672
    assert images.shape == (2, 227, 227, 3)
    layer = inverted_layer(config)
    net = jax.eval_shape(
        lambda x: FeatureLayer("alexnet", "pool5").apply(params_of_alexnet(), x), images
    )
    assert layer.layer == "pool5" and net.shape == (2, 6, 6, 256)


def params_of_alexnet():
    from vgg_unpool_jax.pretrained.networks import random_network_weights

    return random_network_weights("alexnet").params


@pytest.mark.parametrize(
    ("side", "sides"),
    [(64, (29, 25, 12, 10, 4)), (227, (56, 52, 25, 23, 11))],
)
def test_the_discriminator_has_the_published_sizes(side, sides):
    model = Discriminator()
    params, logits = shapes_of(model)((3, side, side, 3))
    convolutions = 49 * 3 * 32 + 25 * 32 * 64 + 9 * (64 * 128 + 128 * 256 + 256 * 256)
    biases = 32 + 64 + 128 + 256 + 256
    assert count(params) == convolutions + biases + 256 * 512 + 512 + 512 * 2 + 2
    assert logits.shape == (3, 2)
    images = np.zeros((1, side, side, 3), np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    _, state = model.apply(variables, images, capture_intermediates=True)
    found = state["intermediates"]["features"]
    layers = [found[f"conv{number}"]["__call__"][0] for number in range(1, 6)]
    assert tuple(layer.shape[1] for layer in layers) == sides


def test_the_code_of_an_autoencoder_has_512_numbers():
    model = Autoencoder()
    params, codes = shapes_of(model, method="encode")((1, 64, 64, 3))
    assert codes.shape == (1, 8, 8, 8)
    _, images = shapes_of(model)((1, 64, 72, 3))
    assert images.shape == (1, 64, 72, 3)
    kernels = 25 * (3 * 32 + 32 * 64) + 9 * (32 * 32 + 64 * 64 + 64 * 128 + 128 * 128)
    kernels += 9 * (128 * 64 + 64 * 8)
    assert count(params) == kernels + 32 + 32 + 64 + 64 + 128 + 128 + 64 + 8
    assert make_model(autoencoder.get_config()).width == 1.0


@pytest.mark.parametrize("layer", [*alexnet.LAYERS, *vgg19.BLOCKS])
@pytest.mark.parametrize("size", [(64, 64), (224, 160)])
def test_generators_make_images_of_the_size_of_their_features(layer, size):
    module = vgg19 if layer in vgg19.BLOCKS else alexnet
    config = module.get_config(f"{layer},runlocal")
    found, model = inverted_layer(config), make_model(config)
    stride = found.stride
    side = [-(-x // stride) for x in size]
    if found.network == "alexnet":
        images = jax.ShapeDtypeStruct((1, *size, 3), np.float32)
        features = jax.eval_shape(lambda x: found.apply(params_of_alexnet(), x), images)
        # A position less than would cover the image.
        assert features.shape[1:3] == tuple(x - 1 for x in side)
        channels = features.shape[-1]
    else:
        features, channels = jnp.zeros((1, *side, 8)), 8
    assert found.default_size(features.shape[1:3]) == size
    _, images = shapes_of(model, size, method="decode")(
        (1, *features.shape[1:3], channels)
    )
    assert images.shape == (1, *size, 3)


def test_layers_equal_torchs():
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).normal(size=(2, 10, 12, 3)).astype(np.float32)
    stack = Stack((Layer(6, 5, 2), up(4), Layer(5, 3, 2, True)), linear_end=True)
    variables = jax.jit(stack.init)(jax.random.key(1), images)
    found = stack.apply(variables, images)
    params = jax.tree.map(lambda x: torch.tensor(np.array(x)), variables["params"])
    x = torch.tensor(images).permute(0, 3, 1, 2)
    x = torch.nn.functional.conv2d(
        x, params["conv1"]["kernel"].permute(3, 2, 0, 1), stride=2, padding=2
    )
    x = torch.nn.functional.leaky_relu(x, 0.3)
    kernel = params["up2"]["kernel"].permute(2, 3, 0, 1).flip(2, 3)
    x = torch.nn.functional.conv_transpose2d(x, kernel, stride=2, padding=1)
    x = torch.nn.functional.leaky_relu(x, 0.3)
    x = torch.nn.functional.conv2d(
        x, params["conv3"]["kernel"].permute(3, 2, 0, 1), stride=2
    )
    np.testing.assert_allclose(found, x.permute(0, 2, 3, 1), atol=1e-5)


def test_the_start_keeps_the_scale_of_features():
    features = jax.random.normal(jax.random.key(0), (1, 4, 4, 64))
    model = Generator(stride=16)

    def start(key, features):
        return model.init_with_output(key, features, (64, 64), method="decode")[0]

    images = jax.jit(start)(jax.random.key(1), features)
    assert 0.3 < float(jnp.std(images)) / 127.5 < 3.0
