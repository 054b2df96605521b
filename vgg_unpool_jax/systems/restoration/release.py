"""What the model card of a released restorer says."""

from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.systems.restoration.restorer import BACKBONES


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
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
    return {
        "about": about,
        "usage": usage,
        "limits": (
            "Other damages than those of its training, such as blur or the noise of "
            "cameras, which is not Gaussian, were not measured.",
            "What the training photos may be used for limits the use of the model.",
        ),
    }
