import importlib
import re
import socket

import pytest

from vgg_unpool_jax.applications.studio.models import SYSTEMS, Models
from vgg_unpool_jax.errors import ConfigError


def test_named_models_come_first_are_kept_and_nothing_is_downloaded(
    released, monkeypatch
):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    models = Models(released)
    assert {b: k.title for b, k in models.pairs().items()} == {1: "block1", 2: "block2"}
    pair = models.load(models.pairs()[2])
    assert pair.block == 2 and models.load(models.pairs()[2]) is pair
    assert [known.title for known in models.of("codec")] == [
        "codec-photos",
        "codec-faces",
    ]
    assert models.of("codec")[0].qualities == 8


def test_models_whose_network_has_no_weights_here_are_left_out(monkeypatch, tmp_path):
    models = Models()
    # Weights of VGG19 and AlexNet, which tests do not have.
    assert models.pairs() == {} and models.of("colorization") == []
    assert [k.name for k in models.of("deepsim")] == ["autoencoder-deepsim"]
    file = tmp_path / "alexnet.safetensors"
    file.touch()
    monkeypatch.setenv("ALEXNET_WEIGHTS", str(file))
    names = [known.name for known in Models().of("deepsim")]
    assert "invert-alexnet-conv1" in names and "invert-vgg19-block2" not in names


def test_what_is_missing_says_which_command_brings_it(monkeypatch):
    models = Models()
    for system in ("unpooling", "colorization"):
        assert "VGG19's weights are not on this machine" in models.missing(system)
    assert models.missing("codec") is models.missing("vae") is None
    monkeypatch.setattr(models, "of", lambda system: [])
    models._without_weights["deepsim"] = "alexnet"
    assert "ALEXNET_WEIGHTS names a file" in models.missing("deepsim")
    sentence = models.missing("vae")
    assert "./launch.sh train --config=vae_coco:photos --workdir=runs/vae_" in sentence
    assert "./launch.sh studio --models=runs/vae_coco" in sentence
    with pytest.raises(ConfigError, match="no workdir or released file nowhere"):
        Models(["nowhere"])


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_config_that_trains_a_missing_model_is_of_its_system(system, monkeypatch):
    monkeypatch.setattr(Models, "has", lambda self, network: True)
    models = Models()
    monkeypatch.setattr(models, "of", lambda system: [])
    sentence = models.missing(system)
    name, variant = re.search(r"--config=([\w/]+):?(\w*)", sentence).groups()
    config = importlib.import_module(f"configs.{name.replace('/', '.')}")
    assert config.get_config(variant).system == system
