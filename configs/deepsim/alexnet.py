"""Inverse of a layer of AlexNet, with the DeePSiM loss.

The first variant is the layer, conv1 to conv5 or pool5 (conv5 without one); `published`
is the generator of pool5 at 227 pixels as published. Data: random crops of ImageNet.
Measured results: docs/deepsim.md.

    ./launch.sh train --config=deepsim/alexnet:conv5 --workdir=runs/alexnet-conv5
    ./launch.sh train --config=deepsim/alexnet:conv5,photos --workdir=runs/conv5 \
        --config.data.source=folder:PHOTOS

Other variants: `configs/deepsim/base.py`.
"""

import ml_collections

from configs.deepsim import base

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5")
_SOURCE = "tfds:imagenet2012:train"


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    names = [name for name in variant.split(",") if name]
    layers = [name for name in names if name in LAYERS]
    layer = "pool5" if "published" in names else (*layers, "conv5")[0]
    others = [name for name in names if name not in (*LAYERS, "published")]
    side = 227 if "published" in names else 224
    config = base.make_config(
        "alexnet", layer, _SOURCE, side, 1_000_000, ",".join(others)
    )
    if "published" in names:
        config.model.published = True
        config.comparator.layer = "pool5"
        config.data.image_size = config.evaluation.image_size = 227
    return config
