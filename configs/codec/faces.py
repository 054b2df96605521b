"""Codec of face photos of 64 to 128 pixels."""

import ml_collections

from configs.codec import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = base.make_config("folder:faces", variant)
    if not variant:
        config.num_steps = 10_000
        config.data.stages = ((0.7, 128, 4),)
    return config
