"""What the model card of a released upscaler says."""

from collections.abc import Mapping
from typing import Any


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
    config = metadata["config"]
    network, factor = config["model"]["name"], config["model"]["factor"]
    limits = [
        "Made for photos that were reduced bicubically; noise and JPEG artefacts are "
        "enlarged with them.",
        "What the training photos may be used for limits the use of the model.",
    ]
    if config["loss"]["adversarial"]:
        limits.insert(0, "Detail is plausible, not true: it is made up.")
    return {
        "about": (
            f"The network `{network}`, which enlarges photos of any size by {factor}."
        ),
        "usage": (
            "from vgg_unpool_jax import load_upscaler",
            "",
            f'upscaler = load_upscaler("{name}")',
            f"large = upscaler.upscale(photo)  # (h, w, 3) to ({factor} h, {factor} w, "
            "3), RGB in [0, 255]",
        ),
        "limits": limits,
    }
