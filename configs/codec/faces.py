"""Codec of face photos of 64 to 128 pixels."""

import ml_collections

from configs.codec import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config("folder:faces", variant)
