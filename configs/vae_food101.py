"""VAE on food101."""

import ml_collections

from configs import vae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return vae.make_config("tfds:food101:train", "tfds:food101:validation", variant)
