import dataclasses
import hashlib
import pathlib
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors


def own_tensors(params, separator="/"):
    return {
        f"{name}{separator}{kind}": array
        for name, layer in params.items()
        for kind, array in layer.items()
    }


@pytest.mark.parametrize("preprocessing", ["caffe", "torchvision"])
def test_saved_weights_come_back_with_their_identity(
    preprocessing, tmp_path, make_weights, assert_same_params
):
    weights = make_weights(block=2, preprocessing=preprocessing)
    weights = dataclasses.replace(weights, origin="keras:é.h5", sha256="12ab")
    path = tmp_path / "copy.safetensors"
    save_safetensors(weights, path)
    got = load_vgg19_weights(path, block=2)
    assert_same_params(got.params, weights.params)
    assert (got.preprocessing, got.origin, got.sha256) == (
        preprocessing,
        "keras:é.h5",
        "12ab",
    )
    # The cut in front of the last layer of the file: same origin, fewer layers.
    cut = load_vgg19_weights(path, block=1)
    assert list(cut.params) == [layer.name for layer in convolutions_up_to(1)]
    assert cut.sha256 == "12ab"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_saving_what_is_not_contiguous(tmp_path, make_weights, assert_same_params):
    weights = make_weights()
    expected = {name: dict(layer) for name, layer in weights.params.items()}
    for layer in weights.params.values():
        layer["kernel"] = np.asfortranarray(layer["kernel"])
    path = tmp_path / "w.safetensors"
    save_safetensors(weights, str(path))
    assert_same_params(load_vgg19_weights(path, block=1).params, expected)


@pytest.mark.parametrize("separator", ["/", "."])
def test_own_layout_written_by_others(
    separator, tmp_path, make_weights, assert_same_params
):
    weights = make_weights(block=2)
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file(
        own_tensors(weights.params, separator), path, {"preprocessing": "torchvision"}
    )
    got = load_vgg19_weights(path, block=2)
    assert_same_params(got.params, weights.params)
    assert got.preprocessing == "torchvision"
    assert got.origin == "safetensors:w.safetensors"
    assert got.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("metadata", "preprocessing"),
    [(None, "torchvision"), ({"preprocessing": "caffe"}, "caffe")],
)
def test_torchvision_layout(
    metadata, preprocessing, tmp_path, make_weights, layouts, assert_same_params
):
    weights = make_weights(block=2)
    path = tmp_path / "model.safetensors"
    arrays = layouts.torchvision_arrays(weights.params)
    safetensors.numpy.save_file(arrays, path, metadata)
    got = load_vgg19_weights(path, block=2)
    assert_same_params(got.params, weights.params)
    assert got.preprocessing == preprocessing
    assert got.origin == "safetensors:model.safetensors"
    assert got.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bfloat16_becomes_float32(tmp_path, make_weights):
    tensors = own_tensors(make_weights().params)
    half = {key: value.astype(ml_dtypes.bfloat16) for key, value in tensors.items()}
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file(half, path, {"preprocessing": "caffe"})
    got = load_vgg19_weights(path, block=1).params["block1_conv2"]["kernel"]
    assert got.dtype == np.float32
    expected = half["block1_conv2/kernel"].astype(np.float32)
    np.testing.assert_array_equal(got, expected)
    # In a process of its own, where no test and no jax has taught NumPy the type.
    read = f"load_vgg19_weights({str(path)!r}, block=1)"
    subprocess.run(
        [sys.executable, "-c", f"from vgg_unpool_jax.pretrained.load import *; {read}"],
        check=True,
        cwd=pathlib.Path(__file__).resolve().parents[2],
    )


def test_a_copy_that_was_changed_is_refused(tmp_path, make_weights, assert_refused):
    weights = make_weights(block=2)
    path = tmp_path / "w.safetensors"
    save_safetensors(weights, path)
    content = bytearray(path.read_bytes())
    # Safetensors sorts by name: the last array is behind the cut at block 1.
    content[-4] ^= 1
    path.write_bytes(content)
    assert_refused(
        lambda: load_vgg19_weights(path, block=1), path, "was changed", "SHA-256"
    )
