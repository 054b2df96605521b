"""What the model card of a released staged decoder says."""

from collections.abc import Mapping
from typing import Any


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
    del metadata
    return {
        "about": (
            "A decoder of VGG19's block4_conv2 in five stages of two convolutions, for "
            "features that are changed on their way: the model of `stylize`."
        ),
        "usage": (
            "from vgg_unpool_jax import load_one_pass, transfer_look",
            "",
            f'stylizer = load_one_pass("{name}")',
            "style = stylizer.measure_style(other)  # (h, w, 3) RGB in [0, 255]",
            "result = transfer_look(stylizer, photo, style)  # of the photo's size",
        ),
        "limits": (
            "Its errors on unchanged features, which the table has, do not reach "
            "results of `stylize`: there they are known and taken back.",
            "What the training photos may be used for limits the use of the model.",
        ),
    }
