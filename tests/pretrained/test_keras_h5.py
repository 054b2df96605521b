import hashlib

import h5py
import numpy as np
import pytest

from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS, convolutions_up_to
from vgg_unpool_jax.pretrained.load import load_vgg19_weights

LAYOUTS = (
    "keras1",
    "keras2",
    "keras3",
    "whole_model",
    "nested_model",
    "keras3_by_name",
    "keras3_by_class",
)
VGG16_LAYERS = [layer for layer in VGG19_CONVOLUTIONS if not layer.name.endswith("4")]


def write_layers(path, layers, shapes=None):
    """A file of the right shapes whose values, all zero, take no room on the disk."""
    with h5py.File(path, "w") as file:
        for layer in layers:
            for kind, leaf in (("kernel", "W"), ("bias", "b")):
                name = f"{layer.name}/{layer.name}_{leaf}_1:0"
                shape = (shapes or {}).get((layer.name, kind), layer.shape(kind))
                if shape is not None:
                    file.create_dataset(name, shape, "f4")
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(layout, tmp_path, make_weights, layouts, assert_same_params):
    weights = make_weights(block=2)
    path = layouts.write_keras(tmp_path / "some name.h5", weights.params, layout)
    for block in (1, 2):
        got = load_vgg19_weights(path, block=block)
        expected = [layer.name for layer in convolutions_up_to(block)]
        assert_same_params(
            got.params, {name: weights.params[name] for name in expected}
        )
    assert got.preprocessing == "caffe"
    assert got.origin == "keras:some name.h5"
    assert got.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("dtype", [np.float16, ">f4"])
def test_other_float_types_become_native_float32(
    dtype, tmp_path, make_weights, layouts
):
    weights = make_weights()
    path = layouts.write_keras(tmp_path / "w.h5", weights.params, dtype=dtype)
    got = load_vgg19_weights(path, block=1).params["block1_conv2"]["kernel"]
    assert got.dtype == np.dtype("f4")
    expected = weights.params["block1_conv2"]["kernel"].astype(dtype).astype("f4")
    np.testing.assert_array_equal(got, expected)


def test_the_whole_network_with_layers_behind_the_cut(tmp_path):
    path = write_layers(tmp_path / "w.h5", VGG19_CONVOLUTIONS)
    assert len(load_vgg19_weights(path).params) == 14
    assert len(load_vgg19_weights(path, block=3).params) == 6


def test_vgg16_is_refused_at_every_cut(tmp_path, assert_refused):
    path = write_layers(tmp_path / "vgg16.h5", VGG16_LAYERS)
    for block in (1, 3, 5):
        assert_refused(
            lambda block=block: load_vgg19_weights(path, block=block),
            path,
            "no layer block3_conv4",
            "block5_conv3",
            "not VGG19",
        )


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_values_that_are_not_finite_are_refused(
    value, tmp_path, make_weights, layouts, assert_refused
):
    weights = make_weights()
    params = weights.params
    params["block1_conv2"]["kernel"] = params["block1_conv2"]["kernel"].astype("f8")
    params["block1_conv2"]["kernel"][2, 1, 63, 0] = value
    path = layouts.write_keras(tmp_path / "w.h5", params, dtype=np.float64)
    assert_refused(
        lambda: load_vgg19_weights(path, block=1),
        path,
        "kernel of layer block1_conv2",
        "NaN or infinite",
    )


@pytest.mark.slow
# TensorFlow's variables do not know NumPy 2's `copy` argument; only Keras meets that.
@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
def test_files_written_by_keras_itself(tmp_path, assert_same_params, make_weights):
    keras = pytest.importorskip("keras")
    params = make_weights(block=2).params
    x = inputs = keras.Input((None, None, 3))
    for name, layer in params.items():
        channels = layer["kernel"].shape[3]
        x = keras.layers.Conv2D(channels, 3, padding="same", name=name)(x)
    vgg = keras.Model(inputs, x, name="vgg19")
    for name, layer in params.items():
        vgg.get_layer(name).set_weights([layer["kernel"], layer["bias"]])
    outer_inputs = keras.Input((8, 8, 3))
    outer = keras.Model(outer_inputs, keras.layers.Dense(2)(vgg(outer_inputs)))
    outer.compile("adam", "mse")
    outer.optimizer.build(outer.trainable_variables)
    vgg.save_weights(tmp_path / "part.weights.h5")
    vgg.save(tmp_path / "part.h5")
    outer.save_weights(tmp_path / "outer.weights.h5")
    outer.save(tmp_path / "outer.h5")
    for name in ("part.weights.h5", "part.h5", "outer.weights.h5", "outer.h5"):
        got = load_vgg19_weights(tmp_path / name, block=2)
        assert_same_params(got.params, params)


@pytest.mark.real_data
def test_the_real_file(vgg19_weights_path):
    weights = load_vgg19_weights(vgg19_weights_path)
    assert weights.sha256 == (
        "61db546356702cb9e72952fcb4f947d6f4dc25b94a0adf514ab3d28e1577acd5"
    )
    assert weights.preprocessing == "caffe"
    assert weights.origin == f"keras:{vgg19_weights_path.name}"
    assert list(weights.params) == [layer.name for layer in convolutions_up_to(5)]
    for layer in convolutions_up_to(5):
        for kind in ("kernel", "bias"):
            array = weights.params[layer.name][kind]
            assert array.shape == layer.shape(kind)
            assert array.dtype == np.float32
            assert np.ptp(array) > 0
