"""What the model card of a released colourisation network says."""

from collections.abc import Mapping
from typing import Any


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
    network = metadata["config"]["model"]["name"]
    usage = [
        "from vgg_unpool_jax import load_colorizer",
        "",
        f'colorizer = load_colorizer("{name}")',
        "colored = colorizer.colorize(photo)  # (h, w, 3) RGB in [0, 255], any size",
    ]
    if network in ("pyramid", "vgg19"):
        usage.append("colored = colorizer.colorize(photo, hints=strokes)  # RGBA")
    about = (
        f"The network `{network}`, which predicts the colours of grey photos; their "
        "luminance stays."
    )
    if network == "vgg19":
        about += (
            " It decodes features of a frozen VGG19, and needs Keras' VGG19 weights "
            "(downloaded once, or named by VGG19_WEIGHTS)."
        )
    return {
        "about": about,
        "usage": usage,
        "limits": (
            "Colours are plausible, not true: several are possible for most things.",
            "What the training photos may be used for limits the use of the model.",
        ),
    }
