"""Flags of style transfer: styles with masks and shares, strengths by block."""

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.cli import style_flags
from vgg_unpool_jax.errors import ConfigError


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "style.png"
    path.write_bytes(b"")
    return str(path)


@pytest.fixture(autouse=True)
def parsed():
    flags.FLAGS.mark_as_parsed()


def test_styles_have_their_masks_and_shares(photo):
    values = {
        "style": [photo] * 2,
        "style_mask": ["a", "b"],
        "style_shares": ["1", ".5"],
    }
    with flagsaver.flagsaver(**values):
        found = style_flags.styles()
    assert [(str(style.mask), style.share) for style in found] == [("a", 1), ("b", 0.5)]


def test_masks_of_other_number_than_the_styles_are_refused(photo):
    message = "style masks must be as many as styles, 1, got 2"
    with flagsaver.flagsaver(style=[photo], style_mask=["a", "b"]):
        with pytest.raises(ConfigError, match=message):
            style_flags.styles()


def test_strengths_are_numbers_by_block():
    with flagsaver.flagsaver(strengths=["4:0.5", "1:0"]):
        assert style_flags.strengths() == {4: 0.5, 1: 0.0}
    with flagsaver.flagsaver(strengths=["4=1"]):
        with pytest.raises(ConfigError, match=r"such as 4:0\.5, got 4=1"):
            style_flags.strengths()
