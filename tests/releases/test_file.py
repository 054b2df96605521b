"""The file of a release: round trips, earlier versions, damage."""

import json
import pathlib
import signal
import struct
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

from vgg_unpool_jax.errors import ReleaseError
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.file import (
    KEY,
    read,
    read_metadata,
    without_folders,
    write,
)
from vgg_unpool_jax.releases.storage import DTYPES, digest, pack, unpack

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
RECORD = {"origin": "keras:vgg19.h5", "sha256": "12ab", "layers_sha256": "34cd"}
CONFIG = {
    "system": "toy",
    "encoder": {"weights": ""},
    "data": {"source": "samples", "split_fractions": (0.9, 0.1)},
}
KERNEL = "params/second/kernel"


def variables():
    """Of a model with two 3×3 convolutions, a transposed one, and statistics."""
    generator = np.random.default_rng(2)
    shapes = {"first": (3, 3, 3, 64), "second": (3, 3, 64, 32), "up": (2, 2, 32, 32)}
    layers = {
        name: {
            "kernel": generator.standard_normal(shape, np.float32),
            "bias": generator.standard_normal(shape[-1:], np.float32),
        }
        for name, shape in shapes.items()
    }
    kernel = layers["second"]["kernel"]
    # A channel of zeros, a tiny one, and one with an outlier.
    kernel[..., 0], kernel[..., 1] = 0, kernel[..., 1] * np.float32(1e-42)
    kernel[0, 0, 0, 2] = -1e4
    # Beyond the range of float16, as the features of VGG19 may be.
    return {"params": layers, "statistics": {"rms": np.full(8, 1e5, np.float32)}}


def write_toy(path, tree=None, config=CONFIG, **options):
    options = {"pretrained": RECORD, "step": 7} | options
    write(path, tree or variables(), config=config, **options)
    return path


@pytest.fixture
def file(tmp_path):
    return write_toy(tmp_path / "toy.safetensors")


def test_float32_comes_back_to_the_bit_with_its_metadata(tmp_path):
    tree = variables()
    kernel = tree["params"]["first"]["kernel"]
    tree["params"]["first"]["kernel"] = np.asfortranarray(kernel)
    facts = {"photos seen": 16, "hours": 0.5, "note": "é ~3/4 of them, images/s"}
    found = read(write_toy(tmp_path / "a.safetensors", tree, facts=facts))
    assert jax.tree.structure(found.variables) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, found.variables, tree)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found.variables)} == {"float32"}
    metadata = found.metadata
    assert (metadata["system"], metadata["step"]) == ("toy", 7)
    assert (metadata["pretrained"], metadata["dtype"]) == (RECORD, "float32")
    assert list(metadata["facts"].items()) == list(facts.items())
    assert metadata["config"]["data"]["split_fractions"] == [0.9, 0.1]
    assert read_metadata(tmp_path / "a.safetensors") == metadata


def test_float16_halves_parameters_and_leaves_statistics(file, tmp_path):
    half = write_toy(tmp_path / "half.safetensors", dtype="float16")
    assert half.stat().st_size < 0.52 * file.stat().st_size
    found, expected = read(half).variables, variables()
    for name, layer in expected["params"].items():
        for kind, values in layer.items():
            np.testing.assert_allclose(
                found["params"][name][kind], values, rtol=2**-11, atol=2**-24
            )
    np.testing.assert_array_equal(
        found["statistics"]["rms"], expected["statistics"]["rms"]
    )


def test_int8_is_within_half_a_step_and_not_for_2x2_kernels(file, tmp_path):
    small = write_toy(tmp_path / "small.safetensors", dtype="int8")
    assert small.stat().st_size < 0.5 * file.stat().st_size
    found, expected = read(small).variables, variables()
    for name in ("first", "second"):
        kernel = expected["params"][name]["kernel"]
        step = np.abs(kernel.astype("f8")).max((0, 1, 2)) / 127
        step = np.maximum(step * (1 + 2**-15), np.finfo("f4").tiny)
        errors = np.abs(found["params"][name]["kernel"].astype("f8") - kernel)
        assert (errors <= step / 2).all()
        assert errors.max() > 0.4 * step.min()  # it was rounded
        expected["params"][name]["kernel"] = found["params"][name]["kernel"]
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    arrays = safetensors.numpy.load_file(small)
    assert arrays[KERNEL].dtype == np.int8 and arrays["params/up/kernel"].dtype == "f4"
    assert arrays[f"{KERNEL}_scale"].shape == (32,)


def test_int8_rounds_kernels_of_5x5_and_large_dense_ones():
    generator = np.random.default_rng(0)
    shapes = {"conv": (5, 5, 3, 8), "large": (1000, 1000), "small": (1000, 999)}
    kernels = {
        f"params/{name}/kernel": generator.standard_normal(shape, np.float32)
        for name, shape in shapes.items()
    }
    packed = pack(kernels, "int8")
    dtypes = [packed[name].dtype for name in kernels]
    assert dtypes == [np.int8, np.int8, np.float16]
    assert packed["params/large/kernel_scale"].shape == (1000,)
    for name, found in unpack("file", packed).items():
        np.testing.assert_allclose(found, kernels[name], atol=0.03)
    again = pack(unpack("file", packed), "int8")
    for name, array in packed.items():
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_read_is_written_as_the_same_file(dtype, tmp_path):
    first = write_toy(tmp_path / "1.safetensors", dtype=dtype)
    again = read(first).variables
    second = write_toy(tmp_path / "2.safetensors", again, dtype=dtype)
    assert first.read_bytes() == second.read_bytes()


# --- files of earlier versions --------------------------------------------------------


def test_the_packaged_file_of_version_1_is_read_as_version_3():
    path = index.PACKAGE / "vgg19-block1.safetensors"
    with safetensors.safe_open(path, framework="numpy") as stored:
        old = json.loads(stored.metadata()["vgg_unpool_jax_decoder"])
    assert old["format_version"] == 1
    metadata = read(path).metadata
    assert metadata["format_version"] == 3
    assert metadata["system"] == "unpooling"
    assert metadata["config"] == old["config"]
    assert metadata["pretrained"]["layers_sha256"] == old["encoder_sha256"]
    assert metadata["pretrained"]["sha256"] == old["vgg19"]["sha256"]
    for field in ("step", "dtype", "facts"):
        assert metadata[field] == old[field]


def test_version_2_is_read_as_version_3(tmp_path):
    """A file of the package, with the metadata that version 2 had."""
    path = index.PACKAGE / "vgg19-block1.safetensors"
    with safetensors.safe_open(path, framework="numpy") as stored:
        old = json.loads(stored.metadata()["vgg_unpool_jax_decoder"])
    variables = read(path).variables
    small = write_toy(tmp_path / "small.safetensors", variables, dtype="int8")
    arrays = safetensors.numpy.load_file(small)
    old |= {"format_version": 2, "dtype": "int8"}
    old["arrays_sha256"] = read_metadata(small)["arrays_sha256"]
    metadata = {"vgg_unpool_jax_decoder": json.dumps(old)}
    safetensors.numpy.save_file(arrays, tmp_path / "old.safetensors", metadata)
    found = read(tmp_path / "old.safetensors")
    jax.tree.map(np.testing.assert_array_equal, found.variables, read(small).variables)
    assert (found.metadata["dtype"], found.metadata["system"]) == ("int8", "unpooling")


# --- paths of the machine -------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        ("samples", "samples"),
        ("center_resize:320", "center_resize:320"),
        ("~/runs/block1/", "block1"),
        ("..\\data\\w.h5", "w.h5"),
        ("folder://data", "folder:data"),
        ("zip:/a/b.zip,folder:../c/d/,samples", "zip:b.zip,folder:d,samples"),
        ("folder:/home/me, too/photos", "folder:photos"),
        ("tfds:coco/2017:1.1.0:train", "tfds:coco/2017:1.1.0:train"),
    ],
)
def test_paths_are_reduced_to_names(value, expected):
    assert without_folders(value) == expected


def test_no_path_of_config_and_weights_gets_into_a_file(tmp_path):
    config = {
        "system": "toy",
        "data": {"source": f"folder:{tmp_path}/photos,zip:{tmp_path}/more.zip"},
        "later": [{"deep": f"{tmp_path}/x"}],
    }
    record = RECORD | {"origin": f"safetensors:{tmp_path}/vgg19.safetensors"}
    file = write_toy(tmp_path / "a.safetensors", config=config, pretrained=record)
    assert str(tmp_path).encode() not in file.read_bytes()
    metadata = read_metadata(file)
    assert metadata["config"]["data"]["source"] == "folder:photos,zip:more.zip"
    assert metadata["config"]["later"] == [{"deep": "x"}]
    assert metadata["pretrained"]["origin"] == "safetensors:vgg19.safetensors"


# --- what is refused ------------------------------------------------------------------


def _first(value, kind="bias"):
    tree = variables()
    tree["params"]["second"][kind].flat[0] = value
    return tree


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tree": _first(np.inf)}, ["NaN or infinite", "params/second/bias"]),
        ({"tree": _first(70_000), "dtype": "float16"}, ["70000", "use float32"]),
        (
            {"tree": _first(np.finfo("f4").max, "kernel"), "dtype": "int8"},
            ["3.40282e+38", "infinity", "use float32"],
        ),
    ],
)
def test_what_cannot_be_stored_is_refused(options, words, tmp_path, assert_refused):
    path = tmp_path / "a.safetensors"
    assert_refused(lambda: write_toy(path, **options), *words, error=ReleaseError)
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys

import tests.releases.test_file as module
from vgg_unpool_jax.io import atomic

atomic.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
module.write_toy(sys.argv[1])
"""


def test_a_killed_write_leaves_the_old_file_or_none(tmp_path):
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    write_toy(old, facts={"which": "old"})
    for path in (new, old):
        command = [sys.executable, "-c", KILLED, str(path)]
        done = subprocess.run(command, cwd=CHECKOUT, timeout=100, check=False)
        assert done.returncode == -signal.SIGKILL
    assert not new.exists()
    assert read_metadata(old)["facts"] == {"which": "old"}


def test_other_files_are_refused(tmp_path, assert_refused):
    path = tmp_path / "vgg19.safetensors"
    assert_refused(lambda: read(path), path, "cannot be read", error=ReleaseError)
    save_safetensors(random_vgg19_weights(block=1), path)
    words = (path, "no released model")
    assert_refused(lambda: read(path), *words, error=ReleaseError)


def test_an_array_with_the_name_of_a_group_is_refused(tmp_path, assert_refused):
    file = write_toy(tmp_path / "toy.safetensors")
    arrays = {"params": np.zeros(2, np.float32), "params/x": np.zeros(2, np.float32)}
    text = json.dumps(read_metadata(file) | {"arrays_sha256": digest(arrays)})
    file.write_bytes(safetensors.numpy.save(arrays, {KEY: text}))
    words = (file, "one of its arrays has the name of a group")
    assert_refused(lambda: read(file), *words, error=ReleaseError)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_flipped_bit_and_a_missing_end_are_noticed(dtype, tmp_path, assert_refused):
    file = write_toy(tmp_path / "a.safetensors", dtype=dtype)
    content = bytearray(file.read_bytes())
    file.write_bytes(content[:-1])
    words = (file, "damaged or incomplete")
    assert_refused(lambda: read(file), *words, error=ReleaseError)
    (length,) = struct.unpack("<Q", content[:8])
    content[8 + length + 10_000] ^= 1
    file.write_bytes(content)
    assert_refused(lambda: read(file), file, "was changed", error=ReleaseError)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 4}, ["format version 4", "a newer release"]),
        ({"config": "[]"}, ["no config of use"]),
    ],
)
def test_metadata_of_no_use_are_refused(changes, words, file, assert_refused):
    text = json.dumps(read_metadata(file) | changes)
    arrays = safetensors.numpy.load_file(file)
    file.write_bytes(safetensors.numpy.save(arrays, {KEY: text}))
    assert_refused(lambda: read(file), file, *words, error=ReleaseError)
