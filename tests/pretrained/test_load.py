"""Choice of the file, and files that are no weights at all."""

import logging

import pytest

from vgg_unpool_jax.pretrained.load import load_vgg19_weights


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


def test_what_is_no_weight_file_is_refused(tmp_path, assert_refused):
    path = tmp_path / "vgg19.h5"
    path.write_bytes(b"<!DOCTYPE html><html><body>Sign in")
    kinds = "a Keras .h5, a PyTorch .pth or a .safetensors file"
    assert_refused(lambda: load_vgg19_weights(path), path, "b'<!DOCTYP'", kinds)
    assert_refused(
        lambda: load_vgg19_weights(tmp_path), f"no weight file at {tmp_path}"
    )


def test_which_file_is_used_is_said_once(three_files, caplog):
    with caplog.at_level(logging.INFO, "vgg_unpool_jax"):
        for block in (1, 1, 1):
            weights = load_vgg19_weights(three_files["cached"], block=block)
    (told,) = caplog.messages
    expected = (
        f"VGG19 weights: {three_files['cached']} (SHA-256 {weights.sha256[:12]}…)"
    )
    assert told == expected
