"""Styles with masks and shares, strengths by block, from the texts of flags."""

import functools

import pytest
from absl import flags

from experiments.cli.path_list_flag import define_path_list
from experiments.cli.styles import parse_strengths, parse_styles
from vgg_unpool_jax.errors import ConfigError


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "style.png"
    path.write_bytes(b"")
    return str(path)


def test_styles_have_their_masks_and_shares(photo):
    found = parse_styles([photo] * 2, ["a", "b"], ["1", ".5"])
    assert [(str(style.mask), style.share) for style in found] == [("a", 1), ("b", 0.5)]


def test_masks_of_other_number_than_the_styles_are_refused(photo):
    message = "style masks must be as many as styles, 1, got 2"
    with pytest.raises(ConfigError, match=message):
        parse_styles([photo], ["a", "b"])


def test_strengths_are_numbers_by_block():
    assert parse_strengths(["4:0.5", "1:0"]) == {4: 0.5, 1: 0.0}
    with pytest.raises(ConfigError, match=r"such as 4:0\.5, got 4=1"):
        parse_strengths(["4=1"])


def test_commas_in_names_of_files_that_exist_do_not_divide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a,b.png", "c.png", "d,e,f.png"):
        (tmp_path / name).write_bytes(b"")
    values = flags.FlagValues()
    monkeypatch.setattr(
        flags, "DEFINE", functools.partial(flags.DEFINE, flag_values=values)
    )
    define_path_list("style", None, "help")
    for text, expected in {
        "a,b.png": ["a,b.png"],
        "a,b.png,c.png": ["a,b.png", "c.png"],
        "x.png,d,e,f.png,y": ["x.png", "d,e,f.png", "y"],
        "c.png, n=a,b.png": ["c.png", "n=a,b.png"],
        '"p,q",c.png': ["p,q", "c.png"],
        "vgg19-block2,vgg19-block1": ["vgg19-block2", "vgg19-block1"],
        "c.png,": ["c.png", ""],
        ",c.png": ["", "c.png"],
        "": [""],
    }.items():
        values(["program", f"--style={text}"])
        assert values["style"].value == expected, text
