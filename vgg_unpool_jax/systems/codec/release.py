"""What the model card of a released codec says."""

from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.systems.codec.model import stride_of


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
    config = metadata["config"]
    channels, lambdas = sum(config["model"]["groups"]), config["loss"]["lambdas"]
    stride = stride_of(config["model"]["widths"])
    return {
        "about": (
            f"A learned image codec with {channels} channels at 1/{stride} of height "
            f"and width, a hyper latent, and {len(lambdas)} qualities (λ from "
            f"{lambdas[0]:g} to {lambdas[-1]:g}). Predictions for the entropy coding "
            "are made in integers, with tables that are part of this file."
        ),
        "usage": (
            "from vgg_unpool_jax import load_codec",
            f'codec = load_codec("{name}")',
            "content = codec.compress(photo, quality=4)  # uint8 (h, w, 3) RGB",
            "photo = codec.decompress(content)",
        ),
        "limits": (
            "Results of an evaluation are those of the middle quality.",
            "Made for photos like those of its training; others cost more bits.",
            "What the training photos may be used for limits the use of the model.",
        ),
    }
