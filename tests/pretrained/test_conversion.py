"""VGG19 weights written as any kind of file are recognised as the same weights."""

import zipfile

import h5py
import numpy as np
import pytest

from tests.experiments.commands import run_command
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.load import load_vgg19_weights

try:
    import torch
except ImportError:
    torch = None


def _assert_equal(found, expected):
    assert found.preprocessing == expected.preprocessing
    assert found.origin == expected.origin
    assert found.sha256 == expected.sha256
    assert found.params.keys() == expected.params.keys()
    for layer, arrays in expected.params.items():
        for kind, array in arrays.items():
            np.testing.assert_array_equal(found.params[layer][kind], array)


@pytest.mark.parametrize("preprocessing", ["caffe", "torchvision"])
def test_copies_of_copies_have_the_same_identity(preprocessing, make_weights, tmp_path):
    weights = between = make_weights(2, preprocessing=preprocessing)
    suffixes = (".h5", ".pth", ".safetensors", ".h5")
    for number, suffix in enumerate(suffixes):
        if suffix == ".pth" and torch is None:
            continue
        path = tmp_path / f"{number}{suffix}"
        save_weights(between, path)
        between = load_vgg19_weights(path, block=2)
        _assert_equal(between, weights)
        cut = load_vgg19_weights(path, block=1)
        assert list(cut.params) == ["block1_conv1", "block1_conv2"]
        assert cut.preprocessing == preprocessing and cut.sha256 == weights.sha256


def test_torchvision_loads_the_pth(make_weights, tmp_path):
    if torch is None:
        pytest.skip("torch is not installed")
    weights = make_weights(2)
    save_weights(weights, tmp_path / "f.pth")
    state = torch.load(tmp_path / "f.pth", weights_only=True)
    # As `torchvision.models.vgg19().features` begins.
    layers = [torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.ReLU()]
    layers += [torch.nn.Conv2d(64, 64, 3, padding=1), torch.nn.ReLU()]
    layers += [torch.nn.MaxPool2d(2), torch.nn.Conv2d(64, 128, 3, padding=1)]
    layers += [torch.nn.ReLU(), torch.nn.Conv2d(128, 128, 3, padding=1)]
    network = torch.nn.Module()
    network.features = torch.nn.Sequential(*layers)
    network.load_state_dict(state, strict=True)
    kernel = network.features[5].weight.detach().numpy()
    expected = weights.params["block2_conv1"]["kernel"]
    np.testing.assert_array_equal(kernel.transpose(2, 3, 1, 0), expected)


@pytest.mark.extended
def test_keras_loads_the_h5(make_weights, tmp_path):
    keras = pytest.importorskip("keras", reason="the oracle is Keras")
    weights = make_weights(1)
    save_weights(weights, tmp_path / "f.h5")
    model = keras.applications.VGG19(include_top=False, weights=None)
    model.load_weights(tmp_path / "f.h5", by_name=True)
    for name, arrays in weights.params.items():
        kernel, bias = model.get_layer(name).get_weights()
        np.testing.assert_array_equal(kernel, arrays["kernel"])
        np.testing.assert_array_equal(bias, arrays["bias"])


def _write_keras_archive(path, make_weights):
    """A `.keras` file as Keras 3 writes it."""
    weights = make_weights(5)
    with h5py.File(path.with_suffix(".inner"), "w") as file:
        for name, arrays in weights.params.items():
            file[f"layers/{name}/vars/0"] = arrays["kernel"]
            file[f"layers/{name}/vars/1"] = arrays["bias"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.write(path.with_suffix(".inner"), "model.weights.h5")
    return weights


def test_a_keras_archive_is_read(make_weights, tmp_path):
    expected = _write_keras_archive(tmp_path / "vgg.keras", make_weights)
    found = load_vgg19_weights(tmp_path / "vgg.keras")
    assert found.origin == "keras:vgg.keras" and found.preprocessing == "caffe"
    for name, arrays in expected.params.items():
        np.testing.assert_array_equal(found.params[name]["bias"], arrays["bias"])


def test_the_command_converts(make_weights, tmp_path):
    weights = make_weights(5, preprocessing="torchvision")
    save_weights(weights, tmp_path / "in.safetensors")
    paths = f"--input={tmp_path}/in.safetensors", f"--output={tmp_path}/out.h5"
    done = run_command("convert_weights", *paths)
    assert done.returncode == 0, done.stderr
    assert "14 layers of random:seed=1" in done.stdout
    assert "for torchvision preprocessing" in done.stdout
    _assert_equal(load_vgg19_weights(tmp_path / "out.h5"), weights)
