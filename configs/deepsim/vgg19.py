"""Inverse of VGG19's blockX_conv2 without switches, with the DeePSiM loss.

The first variant is the block, block1 to block5 (block4 without one). The decoders of
`configs/unpooling` are its counterparts with switches. Data: random crops of ImageNet.
Measured results: docs/deepsim.md.

    ./launch.sh train --config=deepsim/vgg19:block4 --workdir=runs/vgg19-block4
    ./launch.sh train --config=deepsim/vgg19:block4,photos --workdir=runs/block4 \
        --config.data.source=folder:PHOTOS

Other variants: `configs/deepsim/base.py`.
"""

import ml_collections

from configs.deepsim import base

BLOCKS = ("block1", "block2", "block3", "block4", "block5")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    names = [name for name in variant.split(",") if name]
    block = (*(name for name in names if name in BLOCKS), "block4")[0]
    others = ",".join(name for name in names if name not in BLOCKS)
    source = "tfds:imagenet2012:train"
    return base.make_config("vgg19", f"{block}_conv2", source, 224, 1_000_000, others)
