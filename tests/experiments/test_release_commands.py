"""`pairs page`, which the quickstart uses."""

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import pairs
from vgg_unpool_jax.errors import ConfigError, WeightsUnavailableError


@pytest.fixture
def without_weights(monkeypatch):
    def unavailable(name, weights):
        raise WeightsUnavailableError("there is no VGG19")

    monkeypatch.setattr(pairs, "load_pair", unavailable)


def _main(tmp_path, *names, **values):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    values = {"source": "samples", "output": str(tmp_path / "page")} | values
    with flagsaver.flagsaver(**values):
        pairs.main(["page", *names])


def test_without_weights_a_page_fails_or_is_skipped(without_weights, tmp_path, capsys):
    with pytest.raises(WeightsUnavailableError):
        _main(tmp_path, "block1")
    _main(tmp_path, "block1", without_weights="skip")
    assert "no page of released pairs: there is no VGG19" in capsys.readouterr().out
    assert not (tmp_path / "page").exists()
    with pytest.raises(ConfigError, match="--source and --output"):
        _main(tmp_path, "block1", source=None)


def test_released_means_every_pair_of_the_package(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(pairs.index, "packaged_names", lambda _: ("a", "b"))
    monkeypatch.setattr(pairs, "load_pair", lambda name, weights: name)
    monkeypatch.setattr(
        pairs.page,
        "write_release_page",
        lambda loaded, *_, **__: seen.extend(loaded) or [],
    )
    _main(tmp_path, "released")
    assert seen == ["a", "b"]
