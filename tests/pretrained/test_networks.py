"""AlexNet, VGG16 and the coefficients of metrics: files, variables, refusals."""

import io
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from vgg_unpool_jax.errors import WeightsUnavailableError
from vgg_unpool_jax.nets.vgg16 import VGG16_CONVOLUTIONS
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.metric_heads import (
    DISTS_CHANNELS,
    HEAD_FILES,
    LPIPS_CHANNELS,
    load_dists_heads,
    load_lpips_heads,
    save_heads,
)
from vgg_unpool_jax.pretrained.networks import (
    NETWORKS,
    load_network_weights,
    random_network_weights,
)


@pytest.fixture(scope="module")
def alexnet():
    weights = random_network_weights("alexnet")
    for layer in weights.params.values():
        layer["bias"][:] = np.linspace(-1, 1, len(layer["bias"]))
    return weights


def _arrays(params):
    return {f"{name}/{kind}": x for name, p in params.items() for kind, x in p.items()}


def test_the_public_files_are_torchvisions_and_the_authors():
    # The names of torchvision's files carry the digits; those of the packages are what
    # PyPI lists.
    for network, digits in (("alexnet", "7be5be79"), ("vgg16", "397923af")):
        public = NETWORKS[network].public
        assert public.known_hash == f"sha256:{digits}"
        assert public.name.endswith(f"-{digits}.pth")
    assert HEAD_FILES["lpips"].public.known_hash.startswith("sha256:fd537af5")
    assert HEAD_FILES["dists"].public.known_hash.startswith("sha256:73e54ce1")


def test_files_of_alexnet(alexnet, tmp_path, monkeypatch, assert_same_params):
    torch = pytest.importorskip("torch")
    save_weights(alexnet, tmp_path / "ours.safetensors")
    safetensors.numpy.save_file(_arrays(alexnet.params), tmp_path / "bare.safetensors")
    np.savez(tmp_path / "a.npz", **_arrays(alexnet.params))
    state = {"classifier.1.weight": torch.zeros(1).expand(4096, 9216)}
    for layer in NETWORKS["alexnet"].convolutions:
        kernel = alexnet.params[layer.name]["kernel"].transpose(3, 2, 0, 1)
        name = f"features.{layer.torchvision_index}"
        state[f"{name}.weight"] = torch.from_numpy(kernel.copy())
        state[f"{name}.bias"] = torch.from_numpy(alexnet.params[layer.name]["bias"])
    torch.save(state, tmp_path / "a.pth")
    for name in ("ours.safetensors", "bare.safetensors", "a.npz", "a.pth"):
        found = load_network_weights("alexnet", tmp_path / name)
        assert_same_params(found.params, alexnet.params)
        assert found.preprocessing == "torchvision"
        copied = name == "ours.safetensors"
        assert (found.note() == alexnet.note()) is copied
    monkeypatch.setenv("ALEXNET_WEIGHTS", str(tmp_path / "a.npz"))
    assert load_network_weights("alexnet", download=False).origin == "npz:a.npz"


def _hollow(layers, rename=lambda name: name):
    """Arrays of a network that take no memory."""
    return {
        f"{rename(layer.name)}/{kind}": np.broadcast_to(
            np.float16(0), layer.shape(kind)
        )
        for layer in layers
        for kind in ("kernel", "bias")
    }


def test_files_of_other_networks_are_refused(alexnet, tmp_path, assert_refused):
    small = [layer for layer in VGG16_CONVOLUTIONS if layer.block < 4]
    np.savez_compressed(
        tmp_path / "cut.npz",
        **_hollow(
            small, lambda name: name.replace("block", "conv").replace("_conv", "_")
        ),
    )
    # Its blocks 1 to 3 are found under these names, too.
    assert_refused(
        lambda: load_network_weights("vgg16", tmp_path / "cut.npz"),
        "has no layer block4_conv1, which is needed: its last layer is block3_conv3",
    )
    first = [layer for layer in VGG19_CONVOLUTIONS if layer.block < 4]
    np.savez_compressed(tmp_path / "vgg19.npz", **_hollow(first))
    assert_refused(
        lambda: load_network_weights("vgg16", tmp_path / "vgg19.npz"),
        "has block3_conv4/kernel, so it is of VGG19, expected VGG16",
    )
    np.savez(tmp_path / "a.npz", **_arrays(alexnet.params))
    assert_refused(
        lambda: load_network_weights("vgg16", tmp_path / "a.npz"),
        "holds no convolution of VGG16",
    )
    assert_refused(
        lambda: load_network_weights("alexnet", download=False),
        "no AlexNet weights are at",
        "ALEXNET_WEIGHTS",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        error=WeightsUnavailableError,
    )


@pytest.fixture
def wheel(tmp_path):
    """Packages with coefficients, as their authors have them, and what is in them."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)

    def draw(count):
        return torch.from_numpy(rng.uniform(size=(1, count, 1, 1)).astype(np.float32))

    states = {
        f"lpips/weights/v0.1/{net}.pth": {
            f"lin{k}.model.1.weight": draw(count) for k, count in enumerate(channels)
        }
        for net, channels in LPIPS_CHANNELS.items()
    }
    alpha_beta = {name: draw(sum(DISTS_CHANNELS)) for name in ("alpha", "beta")}
    states["DISTS_pytorch/weights.pt"] = alpha_beta
    path = tmp_path / "package.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, state in states.items():
            content = io.BytesIO()
            torch.save(state, content)
            archive.writestr(name, content.getvalue())
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content.getvalue())
    return path, states


def test_coefficients_from_packages_and_copies(wheel, tmp_path, assert_refused):
    path, states = wheel
    folder = tmp_path / "lpips/weights/v0.1"
    save_heads("lpips", tmp_path / "lpips.safetensors", path)
    for net in LPIPS_CHANNELS:
        wanted = states[f"lpips/weights/v0.1/{net}.pth"].values()
        for file in (path, folder / f"{net}.pth", tmp_path / "lpips.safetensors"):
            found = load_lpips_heads(net, file).arrays
            for array, tensor in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(array, tensor.numpy().ravel())
    assert_refused(
        lambda: load_lpips_heads("alex", folder / "vgg.pth"),
        "lin1.model.1.weight has 128 values, expected 192",
    )
    assert_refused(
        lambda: load_dists_heads(folder / "vgg.pth"), "has no alpha, found lin0"
    )
    save_heads("dists", tmp_path / "dists.safetensors", path)
    alpha, beta = (
        states["DISTS_pytorch/weights.pt"][name].numpy().ravel()
        for name in ("alpha", "beta")
    )
    for file in (path, tmp_path / "dists.safetensors"):
        found = load_dists_heads(file).arrays
        assert [len(array) for array in found] == 2 * list(DISTS_CHANNELS)
        np.testing.assert_array_equal(np.concatenate(found), [*alpha, *beta])


def test_damaged_coefficients(tmp_path, assert_refused):
    path = tmp_path / "d.safetensors"
    arrays = {name: np.ones(1475, np.float32) for name in ("alpha", "beta")}
    arrays["beta"][7] = -1
    safetensors.numpy.save_file(arrays, path)
    assert_refused(lambda: load_dists_heads(path), path, "beta has negative")
    path.write_bytes(path.read_bytes()[:-5])
    assert_refused(lambda: load_dists_heads(path), path, "damaged or incomplete")
    assert_refused(lambda: load_lpips_heads("alex", tmp_path), "no weight file at")
