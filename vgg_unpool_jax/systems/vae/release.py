"""What the model card of a released VAE says."""

from collections.abc import Mapping
from typing import Any


def card_parts(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`about`, `usage` and `limits` of `releases.card.model_card`."""
    config = metadata["config"]
    size, latent = config["model"]["image_size"], config["model"]["latent_size"]
    return {
        "about": (
            f"A variational autoencoder of photos of {size}×{size} pixels with codes "
            f"of {latent} numbers, trained with the loss `{config['loss']['name']}`."
        ),
        "usage": (
            "from vgg_unpool_jax import load_vae",
            "",
            f'vae = load_vae("{name}")',
            f"means, log_variances = vae.encode(photos)  # (n, {size}, {size}, 3) RGB",
            "images = vae.decode(means)",
            "samples = vae.sample(jax.random.key(0), 16)  # with `import jax`",
        ),
        "limits": (
            f"Photos have to be cut as in its training: `{config['data']['crop']}`.",
            "Reconstructions and samples are blurred, and samples are no real people "
            "or things.",
            "What the training photos may be used for limits the use of the model.",
        ),
    }
