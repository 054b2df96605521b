"""Choice of the file, and files that are no weights at all."""

import os

import pytest

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.pretrained.load import load_vgg19_weights

KINDS = "a Keras .h5, a PyTorch .pth or a .safetensors file"


@pytest.fixture
def three_files(tmp_path, make_weights, layouts):
    """Files with different weights; named by the caller, the variable, the cache."""
    paths = {}
    for seed, name in enumerate(("named", "variable", "cached")):
        path = tmp_path / f"{name}.h5"
        paths[name] = layouts.write_keras(path, make_weights(seed=seed).params)
    return paths


def test_a_named_file_goes_before_the_variable(three_files, monkeypatch):
    monkeypatch.setenv("VGG19_WEIGHTS", str(three_files["variable"]))
    assert load_vgg19_weights(three_files["named"], block=1).origin == "keras:named.h5"
    assert load_vgg19_weights(block=1, download=False).origin == "keras:variable.h5"


def test_an_error_says_that_the_variable_named_the_file(
    tmp_path, monkeypatch, assert_refused
):
    path = tmp_path / "missing.h5"
    monkeypatch.setenv("VGG19_WEIGHTS", str(path))
    assert_refused(lambda: load_vgg19_weights(), "VGG19_WEIGHTS", path)


def test_unknown_arguments_are_refused():
    with pytest.raises(ValueError, match=r"flavour must be one of .*keras.*'caffe'"):
        load_vgg19_weights(flavour="caffe")
    with pytest.raises(ValueError, match="block must be"):
        load_vgg19_weights("unread.h5", block=6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", (KINDS,)),
        (b"<!DOCTYPE html><html><body>Sign in", ("b'<!DOCTYP'", KINDS)),
        (b"\x89HDF\r\n\x1a\n", ("damaged or incomplete",)),
        (b"PK\x03\x04", ("damaged or incomplete",)),
        (b"\x10\0\0\0\0\0\0\0{", ("damaged or incomplete",)),
    ],
)
def test_other_files_are_refused(content, words, tmp_path, assert_refused):
    path = tmp_path / "vgg19.h5"
    path.write_bytes(content)
    assert_refused(lambda: load_vgg19_weights(path), path, *words)


def test_paths_that_are_no_files_are_refused(tmp_path, assert_refused):
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    for path in (tmp_path / "missing.h5", tmp_path, pipe):
        assert_refused(
            lambda path=path: load_vgg19_weights(path), f"no weight file at {path}"
        )
    with pytest.raises(UserError, match="must be copied to this machine"):
        load_vgg19_weights("gs://bucket/vgg19.h5")
