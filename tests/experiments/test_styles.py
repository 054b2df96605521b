"""Styles with masks and shares, strengths by block, from the texts of flags."""

import pytest

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
