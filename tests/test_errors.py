"""The helpers beside the exception classes."""

import pathlib

import numpy as np
import pytest

from experiments.cli.styles import parse_styles
from vgg_unpool_jax.applications.stylization.files import FileStylizer, load_stylizer
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.data.split import split_indices
from vgg_unpool_jax.errors import (
    ConfigError,
    RemoteError,
    UserError,
    first_line,
    require_image,
    require_list,
)


def test_images_of_the_expected_shape_pass():
    require_image("photo", np.zeros((2, 3, 3)), 3)
    require_image("images", np.zeros((1, 2, 3, 3)), 4)
    require_image("features", np.zeros((1, 2, 3, 64)), 4, channels=None)


@pytest.mark.parametrize(
    "shape, rank, expected",
    [
        ((8, 8), 3, r"\(height, width, 3\), none of them 0, got \(8, 8\)"),
        ((8, 8, 4), 3, r"\(height, width, 3\).* got \(8, 8, 4\)"),
        ((0, 8, 8, 3), 4, r"\(n, height, width, 3\).* got \(0, 8, 8, 3\)"),
        ((8, 8, 3), 4, r"\(n, height, width, 3\).* got \(8, 8, 3\)"),
    ],
)
def test_other_shapes_are_named_beside_the_expected_one(shape, rank, expected):
    with pytest.raises(ValueError, match=f"^x must have shape {expected}$"):
        require_image("x", np.zeros(shape), rank)


def test_a_text_is_no_list_of_its_letters():
    for value in ("abc", b"abc", pathlib.Path("abc")):
        with pytest.raises(ConfigError, match=r"pairs must be a list, got .*abc"):
            require_list("pairs", value)
        require_list("pairs", [value])
    for work in (
        lambda: load_stylizer("vgg19-block1"),
        lambda: load_stylizer([], blocks="1"),
        lambda: FileStylizer(None, "s.png"),
        lambda: parse_styles("s.png"),
        lambda: Regions("sky", labels=np.zeros((2, 2), int)),
        lambda: split_indices(9, "0.9", seed=0),
    ):
        with pytest.raises(ConfigError, match="must be a list, got '"):
            work()


def test_the_text_of_another_library_becomes_part_of_one_sentence():
    assert first_line(OSError("no space left. Try again.\nmore")) == "no space left"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError(200 * "x"))) == 160


@pytest.mark.parametrize("kind", [UserError, ConfigError, RemoteError])
def test_a_message_stays_on_one_line_whatever_it_quotes(kind):
    assert str(kind("the key c\nvolution of 空")) == r"the key c\nvolution of 空"
