"""VAE on coco."""

import ml_collections

from configs import vae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return vae.make_config(
        "zip:train2017.zip,zip:test2017.zip", "zip:val2017.zip", variant
    )
