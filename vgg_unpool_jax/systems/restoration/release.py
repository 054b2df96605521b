"""The model card of a released restorer."""

from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.releases.card import model_card
from vgg_unpool_jax.systems.restoration.restorer import BACKBONES


def card_text(
    metadata: Mapping[str, Any],
    results: Mapping[str, Any] | None,
    name: str,
    *,
    licence: str | None = None,
) -> str:
    """Model card of a restoration network.

    Args:
      metadata: of the release.
      results: of its evaluation, or None.
      name: of the model.
      licence: of the network; None takes the one in its facts.
    """
    config = metadata["config"]
    network = config["model"]["name"]
    about = (
        f"The network `{network}`, trained for the damage `{config['data']['damage']}`."
    )
    usage = [
        "from vgg_unpool_jax import load_restorer",
        "",
        f'restorer = load_restorer("{name}")',
        "clean = restorer.restore(photo)  # (h, w, 3) RGB in [0, 255]",
    ]
    if network in BACKBONES:
        about += (
            " It estimates noise and JPEG quality of the whole photo, and takes both "
            "from the user instead."
        )
        usage.append("clean = restorer.restore(photo, noise=15, quality=100)")
    return model_card(
        metadata,
        results,
        name=name,
        about=about,
        usage=usage,
        limits=(
            "Other damages than those of its training, such as blur or the noise of "
            "cameras, which is not Gaussian, were not measured.",
            "What the training photos may be used for limits the use of the model.",
        ),
        licence=licence,
    )
