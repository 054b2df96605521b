"""What the model card of a released compressive autoencoder says."""

from collections.abc import Mapping
from typing import Any


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
    model = metadata["config"]["model"]
    bits = metadata["config"]["quantizer"]["bits"]
    trained = f"a quantiser of {bits} bits" if bits else "no quantiser"
    return {
        "about": (
            f"A compressive autoencoder (form `{model['form']}`) with "
            f"{model['channels']} channels at an eighth of the size, trained with "
            f"{trained}. Files have a fixed length; nothing is entropy coded."
        ),
        "usage": (
            "from vgg_unpool_jax import load_trained",
            "",
            f'codec = load_trained("{name}")',
            "content = codec.compress(photo, quality=6)  # bits a value",
            "photo = codec.decompress(content)  # uint8 (h, w, 3) RGB",
        ),
        "limits": (
            "A photo is processed as a whole: memory grows with its size.",
            "What the training photos may be used for limits the use of the model.",
        ),
    }
