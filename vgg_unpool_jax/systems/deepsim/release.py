"""The model card of a released generator."""

from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.releases.card import model_card


def card_text(
    metadata: Mapping[str, Any],
    results: Mapping[str, Any] | None,
    name: str,
    *,
    licence: str | None = None,
) -> str:
    """Model card of an inverter or an autoencoder.

    Args:
      metadata: of the release.
      results: of its evaluation, or None.
      name: of the model.
      licence: of the generator; None takes the one in its facts.
    """
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
    return model_card(
        metadata,
        results,
        name=name,
        about=about,
        usage=(
            "from vgg_unpool_jax import load_inverter",
            f'inverter = load_inverter("{name}")',
            "features = inverter.encode(photos)  # (n, h, w, 3) RGB in [0, 255]",
            "images = inverter.invert(features)  # or of features of your own",
        ),
        limits=(
            f"Trained on crops of {config['data']['image_size']} pixels; others differ "
            "in what a position of the features sees.",
            "Images are plausible, not true: what the features lack is made up.",
        ),
        licence=licence,
    )
