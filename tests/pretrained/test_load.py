"""Choice of the file, and files that are no weights at all."""

import os
import zipfile

import pytest

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


def test_a_home_folder_is_expanded(three_files, tmp_path, monkeypatch, assert_refused):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_vgg19_weights("~/named.h5", block=1).origin == "keras:named.h5"
    assert_refused(
        lambda: load_vgg19_weights("~no_such_user_here/w.h5"), "~no_such_user_here"
    )


def test_a_path_as_bytes(three_files):
    path = os.fsencode(three_files["named"])
    assert load_vgg19_weights(path, block=1).origin == "keras:named.h5"


def test_unknown_arguments_are_refused():
    with pytest.raises(ValueError, match=r"flavour must be one of .*keras.*'caffe'"):
        load_vgg19_weights(flavour="caffe")
    with pytest.raises(ValueError, match="block must be"):
        load_vgg19_weights("unread.h5", block=6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("is empty", KINDS)),
        (b"weights", ("b'weights'", KINDS)),
        (b"<!DOCTYPE html><html><body>Sign in", ("web page",)),
        (b"\xef\xbb\xbf\n  <!-- x -->\n<HTML lang='en'>", ("web page",)),
        (b"version https://git-lfs.github.com/spec/v1\n", ("Git LFS", "git lfs pull")),
        (b"\x89HDF\r\n\x1a\n", ("HDF5", "damaged or incomplete")),
        (b"PK\x03\x04", ("PyTorch", "damaged or incomplete")),
        (b"\x10\0\0\0\0\0\0\0{", ("safetensors", "damaged or incomplete")),
    ],
)
def test_no_weight_file(content, words, tmp_path, assert_refused):
    path = tmp_path / "vgg19.h5"
    path.write_bytes(content)
    assert_refused(lambda: load_vgg19_weights(path), path, *words)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("model.weights.h5", (".keras archive", "unzip")),
        ("photos/1.jpg", ("no PyTorch file", KINDS)),
    ],
)
def test_other_zip_archives(member, words, tmp_path, assert_refused):
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"x")
    assert_refused(lambda: load_vgg19_weights(path), path, *words)


def test_paths_that_are_no_files(tmp_path, assert_refused):
    missing = tmp_path / "missing.h5"
    assert_refused(lambda: load_vgg19_weights(missing), f"no weight file at {missing}")
    assert_refused(lambda: load_vgg19_weights(tmp_path), tmp_path, "is a folder")
    assert_refused(lambda: load_vgg19_weights(""), "is empty", "name a file")
    assert_refused(lambda: load_vgg19_weights("a\0b.h5"), "a\\x00b.h5", "null")
    below_a_file = tmp_path / "file"
    below_a_file.write_bytes(b"x")
    assert_refused(lambda: load_vgg19_weights(below_a_file / "w.h5"), below_a_file)
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    assert_refused(lambda: load_vgg19_weights(pipe), pipe, "not a regular file")


def test_an_unreadable_file(three_files, monkeypatch, assert_refused):
    path = three_files["named"]
    # Taking the right away does not stop root, as whom tests run in containers.
    path.chmod(0)
    if os.access(path, os.R_OK):

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", refuse)
    assert_refused(lambda: load_vgg19_weights(path), path, "(Permission denied)")
