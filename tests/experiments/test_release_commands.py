"""What the commands around releases do with their flags."""

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import release_page
from vgg_unpool_jax.errors import WeightsUnavailableError


@pytest.fixture
def without_weights(monkeypatch):
    def unavailable(name, weights):
        raise WeightsUnavailableError("there is no VGG19 to be had")

    monkeypatch.setattr(release_page, "load_pair", unavailable)


def _main(tmp_path, **values):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    values = {"pairs": ["block1"], "source": "samples"} | values
    with flagsaver.flagsaver(output=str(tmp_path / "page"), **values):
        release_page.main()


def test_without_weights_a_page_fails_or_is_skipped(without_weights, tmp_path, capsys):
    with pytest.raises(WeightsUnavailableError):
        _main(tmp_path)
    _main(tmp_path, without_weights="skip")
    assert "no page of released pairs: there is no VGG19" in capsys.readouterr().out
    assert not (tmp_path / "page").exists()


def test_released_means_every_decoder_of_the_package(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(release_page, "released_names", lambda: ("a", "b"))
    monkeypatch.setattr(release_page, "load_pair", lambda name, weights: name)
    monkeypatch.setattr(
        release_page,
        "write_release_page",
        lambda pairs, *_, **__: seen.extend(pairs) or [],
    )
    _main(tmp_path, pairs=["released"])
    assert seen == ["a", "b"]
