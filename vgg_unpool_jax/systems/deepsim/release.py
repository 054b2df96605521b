"""What the model card of a released generator says."""

from collections.abc import Mapping
from typing import Any


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
    config = metadata["config"]
    network, layer = config["model"]["network"], config["model"]["layer"]
    about = "An autoencoder with 8 numbers for each 8×8 pixels"
    if layer:
        about = f"A generator that makes images of the features of {network} {layer}"
    terms = [key for key in ("image", "l1", "feature", "adversarial")]
    terms = [key for key in terms if config["loss"][key]]
    compared = config["comparator"]
    if config["loss"]["feature"]:
        about += f", compared by {compared['network']} {compared['layer']}"
    about += (
        f". Loss terms: {', '.join(terms)} (DeePSiM, Dosovitskiy and Brox, 2016). "
        "The discriminator is not part of this file."
    )
    return {
        "about": about,
        "usage": (
            "from vgg_unpool_jax import load_inverter",
            f'inverter = load_inverter("{name}")',
            "features = inverter.encode(photos)  # (n, h, w, 3) RGB in [0, 255]",
            "images = inverter.invert(features)  # or of features of your own",
        ),
        "limits": (
            f"Trained on crops of {config['data']['image_size']} pixels; others differ "
            "in what a position of the features sees.",
            "Images are plausible, not true: what the features lack is made up.",
        ),
    }
