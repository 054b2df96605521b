"""Codec of natural photos."""

import ml_collections

from configs.codec import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config("folder:photos", variant)
