import hashlib
import sys

import numpy as np
import pytest

from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.pretrained.load import load_vgg19_weights

torch = pytest.importorskip("torch")

VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def tensors(arrays):
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def hollow(shape):
    """A tensor of this shape that takes four bytes in the file."""
    return torch.zeros(1).expand(shape)


def network(indices, channels):
    """State dict of a network of 3×3 convolutions with these output channels."""
    state, inputs = {}, 3
    for index, outputs in zip(indices, channels, strict=True):
        state[f"features.{index}.weight"] = hollow((outputs, inputs, 3, 3))
        state[f"features.{index}.bias"] = hollow((outputs,))
        inputs = outputs
    return state


@pytest.mark.parametrize("zipped", [True, False])
def test_round_trip(zipped, tmp_path, make_weights, layouts, assert_same_params):
    weights = make_weights(block=2)
    state = tensors(layouts.torchvision_arrays(weights.params))
    state["classifier.0.weight"] = hollow((4096, 25088))
    path = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    for block in (1, 2):
        got = load_vgg19_weights(path, block=block)
        expected = [layer.name for layer in convolutions_up_to(block)]
        assert_same_params(
            got.params, {name: weights.params[name] for name in expected}
        )
    assert got.preprocessing == "torchvision"
    assert got.origin == "torchvision:vgg19-dcbb9e9d.pth"
    assert got.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_kernels_are_those_of_torch_convolutions(tmp_path, make_weights, layouts):
    """A convolution with torch's kernel equals a sum over our (3, 3, in, out)."""
    params = make_weights().params
    state = tensors(layouts.torchvision_arrays(params))
    path = tmp_path / "w.pth"
    torch.save(state, path)
    got = load_vgg19_weights(path, block=1).params["block1_conv1"]
    patch = np.random.default_rng(0).standard_normal((3, 3, 3), np.float32)  # H, W, C
    ours = np.einsum("hwi,hwio->o", patch, got["kernel"]) + got["bias"]
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(patch.transpose(2, 0, 1)[None].copy()),
        state["features.0.weight"],
        state["features.0.bias"],
    )
    np.testing.assert_allclose(ours, theirs.numpy().ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(dtype, tmp_path, make_weights, layouts):
    state = tensors(layouts.torchvision_arrays(make_weights().params))
    path = tmp_path / "w.pth"
    torch.save({key: value.to(dtype) for key, value in state.items()}, path)
    got = load_vgg19_weights(path, block=1).params["block1_conv2"]["bias"]
    assert got.dtype == np.float32
    expected = state["features.2.bias"].to(dtype).to(torch.float32)
    np.testing.assert_array_equal(got, expected.numpy())


def test_without_torch_one_sentence_says_what_to_do(
    tmp_path, monkeypatch, assert_refused
):
    path = tmp_path / "w.pth"
    torch.save({}, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert_refused(
        lambda: load_vgg19_weights(path), path, "pip install torch", "convert_weights"
    )
    # Without a path neither: not after half a gigabyte has been downloaded.
    assert_refused(
        lambda: load_vgg19_weights(flavour="torchvision"), "pip install torch"
    )


def test_code_in_a_pickle_is_not_run(tmp_path, assert_refused):
    marker = tmp_path / "was_run"

    class Payload:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    for zipped in (True, False):
        path = tmp_path / f"payload{zipped}.pth"
        torch.save(
            {"features.0.weight": Payload()},
            path,
            _use_new_zipfile_serialization=zipped,
        )
        assert_refused(
            lambda path=path: load_vgg19_weights(path), path, "cannot be read"
        )
    assert not marker.exists()


def test_vgg16_is_refused_at_every_cut(tmp_path, assert_refused):
    path = tmp_path / "vgg.pth"
    channels = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    torch.save(network(VGG16, channels), path)
    for block in (1, 5):
        assert_refused(
            lambda block=block: load_vgg19_weights(path, block=block),
            path,
            "features.17.weight",
            "another network",
        )
