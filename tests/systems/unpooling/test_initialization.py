"""The kernels that a decoder starts with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.systems.unpooling.initialization import initialize_kernels


def _layers(**shapes):
    rng = np.random.default_rng(0)
    return {
        name: {
            "kernel": jnp.asarray(rng.standard_normal(shape), jnp.float32),
            "bias": jnp.full(shape[3:], 7.0),
        }
        for name, shape in shapes.items()
    }


DECODER = _layers(block2_conv1=(3, 3, 16, 8), block1_conv1=(3, 3, 8, 3))
ENCODER = _layers(block2_conv1=(3, 3, 8, 16), block1_conv1=(3, 3, 3, 8))


def _initialize(name, decoder=DECODER):
    return initialize_kernels(name, jax.random.key(0), decoder, ENCODER)


def test_he_keeps_what_the_decoder_drew():
    assert _initialize("he") == DECODER


@pytest.mark.parametrize("name", ["orthogonal", "encoder"])
def test_kernels_have_the_scale_of_he_and_biases_stay(name):
    for layer, params in _initialize(name).items():
        taps, inputs = 9, DECODER[layer]["kernel"].shape[2]
        mean_square = jnp.mean(params["kernel"] ** 2)
        np.testing.assert_allclose(mean_square, 2 / (taps * inputs), rtol=1e-5)
        np.testing.assert_array_equal(params["bias"], DECODER[layer]["bias"])


def test_orthogonal_filters_are_at_right_angles():
    kernel = np.asarray(_initialize("orthogonal")["block2_conv1"]["kernel"])
    filters = kernel.reshape(-1, kernel.shape[3])
    products = filters.T @ filters
    np.testing.assert_allclose(products, products[0, 0] * np.eye(8), atol=1e-5)


def test_the_encoder_gives_the_transpose_of_its_convolution():
    kernel = _initialize("encoder")["block1_conv1"]["kernel"]
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.standard_normal((1, 6, 6, 3)), jnp.float32)
    features = jnp.asarray(rng.standard_normal((1, 6, 6, 8)), jnp.float32)

    def convolve(images, kernel):
        return jax.lax.conv_general_dilated(
            images,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    forward = ENCODER["block1_conv1"]["kernel"]
    _, transpose = jax.vjp(lambda x: convolve(x, forward), images)
    expected = np.asarray(transpose(features)[0])
    came = np.asarray(convolve(features, kernel))
    scale = np.sqrt(2 / (9 * 8) / np.mean(np.square(forward)))
    np.testing.assert_allclose(came, scale * expected, rtol=1e-4, atol=1e-4)


def test_layers_without_a_mirror_stay():
    decoder = {**DECODER, **_layers(transposed1=(2, 2, 8, 8))}
    assert _initialize("encoder", decoder)["transposed1"] == decoder["transposed1"]
