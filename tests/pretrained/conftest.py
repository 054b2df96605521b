"""Writers of small weight files in every layout, and the check of an error message."""

import pathlib
import types

import h5py
import numpy as np
import pytest

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights


def _nonzero_bias(weights):
    # Zero biases would hide a bias that is never read.
    for number, layer in enumerate(weights.params.values(), start=1):
        layer["bias"][:] = np.linspace(-number, number, len(layer["bias"]))
    return weights


@pytest.fixture
def make_weights():
    """Function: random weights with biases that differ from zero."""

    def make(block=1, seed=1, preprocessing="caffe"):
        return _nonzero_bias(
            random_vgg19_weights(seed, block=block, preprocessing=preprocessing)
        )

    return make


def _keras_names(layout, name):
    """Where each Keras release puts a layer's kernel and bias."""
    index = [layer.name for layer in VGG19_CONVOLUTIONS].index(name)
    by_class = "conv2d" if index == 0 else f"conv2d_{index}"
    groups = {
        "keras1": (f"{name}/{name}_W_1:0", f"{name}/{name}_b_1:0"),
        "keras2": (f"{name}/{name}/kernel:0", f"{name}/{name}/bias:0"),
        "keras3": (f"{name}/{name}/kernel", f"{name}/{name}/bias"),
        "whole_model": (
            f"model_weights/{name}/{name}/kernel:0",
            f"model_weights/{name}/{name}/bias:0",
        ),
        "nested_model": (
            f"model_weights/vgg19/{name}/kernel:0",
            f"model_weights/vgg19/{name}/bias:0",
        ),
        "keras3_by_name": (f"layers/{name}/vars/0", f"layers/{name}/vars/1"),
        "keras3_by_class": (f"layers/{by_class}/vars/0", f"layers/{by_class}/vars/1"),
    }
    return groups[layout]


def write_keras(path, params, layout="keras1", dtype=np.float32):
    """Write `params` as Keras would, with a top and an optimizer where it has them."""
    with h5py.File(path, "w") as file:
        for name, layer in params.items():
            kernel, bias = _keras_names(layout, name)
            file.create_dataset(kernel, data=layer["kernel"].astype(dtype))
            file.create_dataset(bias, data=layer["bias"].astype(dtype))
            if layout == "keras3_by_class":
                file[kernel].parent.attrs["name"] = name
        if layout in ("keras1", "keras2"):
            file.create_dataset("fc1/fc1/kernel:0", (25088, 4096), "f4")
            file.create_dataset("fc1/fc1/bias:0", (4096,), "f4")
        if layout == "whole_model":
            moment = "optimizer_weights/Adam/block1_conv1/kernel/m:0"
            file.create_dataset(moment, data=np.ones(3))
            slot = "optimizer_weights/Adam/m/block1_conv1/kernel:0"
            file.create_dataset(slot, data=np.ones(3))
    return path


def torchvision_arrays(params):
    """State dict of NumPy arrays under torchvision's keys, kernels as OIHW."""
    indices = {layer.name: layer.torchvision_index for layer in VGG19_CONVOLUTIONS}
    arrays = {}
    for name, layer in params.items():
        kernel = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
        arrays[f"features.{indices[name]}.weight"] = kernel
        arrays[f"features.{indices[name]}.bias"] = layer["bias"]
    return arrays


@pytest.fixture
def layouts():
    """Functions that write a file or lay out arrays."""
    return types.SimpleNamespace(
        write_keras=write_keras,
        torchvision_arrays=torchvision_arrays,
    )


def _assert_same_params(got, expected):
    assert list(got) == list(expected)
    for name, layer in expected.items():
        assert set(got[name]) == {"kernel", "bias"}
        for kind in ("kernel", "bias"):
            assert got[name][kind].dtype == np.float32
            np.testing.assert_array_equal(got[name][kind], layer[kind], err_msg=name)


@pytest.fixture
def assert_same_params():
    """Function: two parameter trees are equal to the bit, in the same order."""
    return _assert_same_params


@pytest.fixture
def assert_refused():
    """Function: a call raises one sentence with all the given words in it."""

    def check(call, *words, error=WeightsError):
        with pytest.raises(error) as caught:
            call()
        assert type(caught.value) is error
        message = str(caught.value)
        assert "\n" not in message
        assert ". " not in message, f"more than one sentence: {message}"
        assert len(message) < 700
        for word in words:
            word = str(word) if isinstance(word, pathlib.Path) else word
            assert word in message, f"{word!r} is not in: {message}"
        return message

    return check
