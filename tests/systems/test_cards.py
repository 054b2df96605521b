"""Model cards: what each system says of its releases."""

import importlib

import pytest

from configs.codec import experiment5, faces
from configs.colorization import photos as colorization
from configs.deepsim import alexnet
from configs.restoration import photos as restoration
from configs.super_resolution import photos as super_resolution
from configs.vae import faces as vae
from vgg_unpool_jax.systems import find


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (experiment5.get_config(), "24 channels"),
        (faces.get_config(), "8 qualities"),
        (colorization.get_config(), "Keras' VGG19 weights"),
        (colorization.get_config("pyramid"), "`pyramid`"),
        (alexnet.get_config(), "features of alexnet"),
        (restoration.get_config(), "noise and JPEG quality"),
        (super_resolution.get_config("x3"), "any size by 3"),
        (vae.get_config(), "codes of 128 numbers"),
    ],
)
def test_cards_say_what_the_model_is_and_how_it_is_loaded(config, said):
    parts = find(config.system).card_parts({"config": config.to_dict()}, "the-name")
    assert said in parts["about"] and parts["limits"]
    _, module, _, function = parts["usage"][0].split()
    assert callable(getattr(importlib.import_module(module), function))
    assert any(f'{function}("the-name")' in line for line in parts["usage"])


def test_a_gan_says_that_its_detail_is_made_up():
    said = [
        find("super_resolution").card_parts(
            {"config": super_resolution.get_config(variant).to_dict()}, "the-name"
        )["limits"]
        for variant in ("", "gan")
    ]
    assert len(said[1]) == len(said[0]) + 1 and "made up" in said[1][0]
