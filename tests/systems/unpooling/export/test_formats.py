"""What all formats share: folders, metadata, refusals; and the two without a graph."""

import hashlib
import json
import os

import numpy as np
import pytest

from tests.experiments.commands import run_command
from tests.npz import load_npz
from tests.systems.unpooling.export.conftest import (
    make_pair,
    random_images,
    run_elsewhere,
)
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.nets.vgg19 import preprocess
from vgg_unpool_jax.releases.file import read
from vgg_unpool_jax.systems.unpooling.export import formats
from vgg_unpool_jax.systems.unpooling.export.formats import FORMATS, export_pair
from vgg_unpool_jax.systems.unpooling.export.optional import import_optional
from vgg_unpool_jax.systems.unpooling.export.parts import (
    PairParts,
    preprocessing_constants,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Of block 2, random."""
    return make_pair(tmp_path_factory.mktemp("pair"), 2)


@pytest.fixture(scope="module")
def parts(pair):
    return PairParts.of(pair)


# --- safetensors and orbax ------------------------------------------------------------


def test_safetensors_are_the_released_form(pair, parts, tmp_path):
    export_pair(parts, tmp_path / "out", "safetensors")
    files = (tmp_path / "out" / f"{n}.safetensors" for n in ("decoder", "encoder"))
    loaded = load_pair(*files)
    images = random_images()
    # Not bit for bit: compiled twice, on other weights' addresses.
    np.testing.assert_allclose(
        loaded.reconstruct(images), pair.reconstruct(images), atol=1e-3
    )
    pair.export(tmp_path / "as_before.safetensors")
    before = read(tmp_path / "as_before.safetensors").metadata
    assert read(tmp_path / "out/decoder.safetensors").metadata == before


_RESTORE = """
import sys
import numpy as np
import orbax.checkpoint as ocp
folder = sys.argv[1]
for name in ("encoder", "decoder"):
    tree = ocp.StandardCheckpointer().restore(f"{folder}/{name}")
    flat = {
        f"{collection}/{layer}/{kind}": array
        for collection, layers in tree.items()
        for layer, arrays in layers.items()
        for kind, array in (arrays.items() if isinstance(arrays, dict) else [("", arrays)])
    }
    np.savez(f"{folder}/{name}.npz", **flat)
assert not {"flax", "tensorflow"} & set(sys.modules)
"""  # noqa: E501


def test_orbax_alone_restores_the_arrays(pair, parts, tmp_path):
    export_pair(parts, tmp_path / "out", "orbax")
    run_elsewhere(_RESTORE, tmp_path / "out", folder=tmp_path)
    decoder = load_npz(tmp_path / "out/decoder.npz")
    encoder = load_npz(tmp_path / "out/encoder.npz")
    assert len(decoder) == 9 and len(encoder) == 8
    for layer, arrays in pair.decoder_variables["params"].items():
        for kind, array in arrays.items():
            np.testing.assert_array_equal(decoder[f"params/{layer}/{kind}"], array)
    rms = pair.decoder_variables["statistics"]["feature_rms"]
    np.testing.assert_array_equal(decoder["statistics/feature_rms/"], rms)
    for layer, arrays in parts.weights.params.items():
        for kind, array in arrays.items():
            np.testing.assert_array_equal(encoder[f"params/{layer}/{kind}"], array)


# --- metadata -------------------------------------------------------------------------


def test_metadata_say_what_the_folder_holds(parts, tmp_path):
    returned = export_pair(parts, tmp_path / "out", "safetensors")
    metadata = json.loads((tmp_path / "out/metadata.json").read_text())
    assert metadata == returned
    assert metadata["format_version"] == 1 and metadata["format"] == "safetensors"
    assert metadata["block"] == 2 and metadata["size_multiple"] == 2
    assert metadata["made_with"].keys() >= {"jax", "vgg_unpool_jax"}
    assert metadata["decoder"]["step"] == 7
    assert metadata["decoder"]["facts"]["photos seen"] == 3
    assert metadata["licence"] == {
        "decoder": "MIT",
        "vgg19": "none, these are random numbers",
    }
    found = {p.name for p in (tmp_path / "out").iterdir()} - {"metadata.json"}
    assert metadata["files"].keys() == found
    for name, said in metadata["files"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert said["bytes"] == len(content)
        assert said["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("preprocessing", ["caffe", "torchvision"])
def test_preprocessing_in_three_constants(preprocessing):
    images = random_images()
    order, scale, offset = preprocessing_constants(preprocessing)
    ours = images[..., order] * np.float32(scale) + np.float32(offset)
    wanted = np.asarray(preprocess(images, preprocessing))
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5)


# --- refusals -------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_refused_and_kept(parts, tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(UserError, match="is not empty"):
        export_pair(parts, tmp_path, "safetensors")
    assert os.listdir(tmp_path) == ["kept.txt"]
    with pytest.raises(UserError, match="is not a folder"):
        export_pair(parts, tmp_path / "kept.txt", "safetensors")
    with pytest.raises(UserError, match="name a folder of this machine"):
        export_pair(parts, "gs://bucket/folder", "safetensors")


def test_nothing_is_left_of_an_export_that_breaks_off(parts, tmp_path, monkeypatch):
    def break_off(parts, folder, metadata, dtype):
        (folder / "half").write_text("written")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(formats._WRITERS, "safetensors", break_off)
    with pytest.raises(OSError, match="No space left"):
        export_pair(parts, tmp_path / "out", "safetensors")
    assert os.listdir(tmp_path) == []


def test_a_place_that_was_taken_meanwhile_is_not_replaced(parts, tmp_path, monkeypatch):
    def take(parts, folder, metadata, dtype):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/other").write_text("of another process")

    monkeypatch.setitem(formats._WRITERS, "safetensors", take)
    with pytest.raises(UserError, match="is not empty"):
        export_pair(parts, tmp_path / "out", "safetensors")
    assert os.listdir(tmp_path / "out") == ["other"]
    assert os.listdir(tmp_path) == ["out"]


def test_graphs_are_of_decoders_that_unpool(tmp_path):
    other = PairParts.of(make_pair(tmp_path, 2, upsampling="nearest"))
    with pytest.raises(UserError, match="'nearest': use safetensors or orbax"):
        export_pair(other, tmp_path / "out", "stablehlo")


def test_a_missing_package_is_named_with_what_installs_it():
    with pytest.raises(UserError, match=r"ONNX needs onnx2.*`pip install onnx2`"):
        import_optional("onnx2", "onnx2", "writing ONNX")


# --- the command ----------------------------------------------------------------------


def test_the_command_writes_a_folder(tmp_path):
    make_pair(tmp_path, 1)
    [file] = tmp_path.glob("*.safetensors")
    (tmp_path / "facts.json").write_text('{"licence": "CC0"}')
    (tmp_path / "results.json").write_text('{"metrics": {"l1": 1.5}}')
    done = run_command(
        "export",
        *(f"--workdir={file}", "--format=stablehlo", f"--output={tmp_path}/out"),
        *(f"--facts={tmp_path}/facts.json", f"--results={tmp_path}/results.json"),
    )
    assert done.returncode == 0, done.stderr
    assert "autoencoder.jax (" in done.stdout
    metadata = json.loads((tmp_path / "out/metadata.json").read_text())
    facts = metadata["decoder"]["facts"]
    assert facts == {"licence": "CC0", "photos seen": 3, "metrics": {"l1": 1.5}}
    assert metadata["licence"]["decoder"] == "CC0"
    assert FORMATS == ("savedmodel", "stablehlo", "onnx", "safetensors", "orbax")
