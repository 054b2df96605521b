"""Layers fitted by least squares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.ops.pooling import max_pool_argmax
from vgg_unpool_jax.systems.unpooling.closed_form import (
    fit_new_layers,
    fit_relu_layer,
    new_layers,
)
from vgg_unpool_jax.systems.unpooling.decoder import (
    UnpoolingDecoder,
    measure_feature_rms,
)


def _regression(seed=0, rows=600, inputs=12, outputs=5):
    """Correlated inputs and the ReLU layer's outputs, in chunks of unequal length."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((inputs, inputs))
    x = np.maximum(rng.standard_normal((rows, inputs)) @ mixing, 0)
    weights = rng.standard_normal((inputs, outputs))
    bias = rng.standard_normal(outputs)
    y = np.maximum(x @ weights + bias, 0)
    x, y = x.astype(np.float32), y.astype(np.float32)

    def chunks():
        for part in np.split(np.arange(rows), [100, 350]):
            yield jnp.asarray(x[part]), jnp.asarray(y[part])

    return chunks, x, y, weights, bias


def test_without_passes_it_is_ridge_regression():
    chunks, x, y, _, _ = _regression()
    weights, bias, error = fit_relu_layer(chunks, ridge=0.1, passes=0)
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = x.mean(0), y.mean(0)
    covariance = (x - mean_x).T @ (x - mean_x) / len(x)
    penalty = 0.1 * np.trace(covariance) / len(covariance)
    wanted = np.linalg.solve(
        covariance + penalty * np.eye(len(covariance)),
        (x - mean_x).T @ (y - mean_y) / len(x),
    )
    np.testing.assert_allclose(weights, wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(bias, mean_y - mean_x @ wanted, rtol=1e-3, atol=1e-3)
    outputs = np.maximum(x @ wanted + mean_y - mean_x @ wanted, 0)
    assert error == pytest.approx(np.sum((y - outputs) ** 2) / np.sum(y**2), rel=1e-3)


def test_passes_find_the_layer_that_made_the_targets():
    chunks, _, _, wanted, wanted_bias = _regression()
    errors = [fit_relu_layer(chunks, ridge=1e-7, passes=n)[2] for n in (0, 3, 100)]
    assert errors[0] > 0.01
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 1e-5
    weights, bias, _ = fit_relu_layer(chunks, ridge=1e-7, passes=100)
    np.testing.assert_allclose(weights, wanted, atol=0.1)
    np.testing.assert_allclose(bias, wanted_bias, atol=0.1)


@pytest.mark.parametrize("block", [4, 5])
def test_the_fitted_layers_are_those_that_the_decoder_before_lacks(block):
    names = [layer.name for layer in new_layers(block)]
    inner = f"block{block - 1}_conv"
    assert names == [
        f"block{block}_conv2",
        f"block{block}_conv1",
        inner + "4",
        inner + "3",
    ]


@pytest.mark.extended
def test_the_decoder_gives_the_fitted_layers_errors():
    """Patches, borders, unpooling and units are those of the decoder."""
    photos = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    images = photos.astype(np.float32)
    encoder = VGG19Encoder(4)
    encoder_params = jax.jit(encoder.init)(jax.random.key(0), images)["params"]
    inner_rms = jnp.linspace(0.5, 2.0, 256)
    fitted = fit_new_layers(
        encoder,
        encoder_params,
        inner_rms,
        np.split(photos, [3]),
        4,
        positions=10**6,  # every one
        ridge=20.0,
        passes=0,
    )
    features, found = encoder.apply({"params": encoder_params}, images)
    np.testing.assert_allclose(
        fitted.feature_rms, measure_feature_rms(features), rtol=1e-4
    )
    decoder = UnpoolingDecoder(4, normalize_features=True)
    variables = jax.jit(decoder.init)(jax.random.key(1), features, found["switches"])
    params = {**variables["params"], **fitted.params}
    statistics = {"feature_rms": fitted.feature_rms}
    _, outputs = decoder.apply(
        {"params": params, "statistics": statistics}, features, found["switches"]
    )
    targets = {
        "block4_conv2": _scaled(found["block4_conv1"]),
        "block4_conv1": _scaled(max_pool_argmax(found["block3_conv4"])[0]),
        "block3_conv4": _scaled(found["block3_conv3"]),
        "block3_conv3": found["block3_conv2"] / inner_rms,
    }
    for name, wanted in targets.items():
        error = jnp.sum((outputs[name] - wanted) ** 2) / jnp.sum(wanted**2)
        assert 0.003 < error < 1
        np.testing.assert_allclose(error, fitted.errors[name], rtol=0.01)


def _scaled(target):
    return target / measure_feature_rms(target)
