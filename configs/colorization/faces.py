"""Colours of faces: the experiment of facecompressor, its two networks and ours.

Published: one batch of 32 faces of 224², 25 of them for training, Adam at 1e-3 with a
decay of 1e-5 a step, 1,000 epochs; 87 and 89 % "accuracy" is the share of the pixels
of these 32 photos of which a or b is the larger one. Ours: all faces, and other faces
for the test; docs/colorization.md.

    ./launch.sh train --config=colorization/faces:encoder_decoder \
        --workdir=runs/color-faces --config.data.source=folder:FACES

Variants: see `configs/colorization/base.py`.
"""

import ml_collections

from configs.colorization import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = base.make_config("folder:faces", variant)
    if "runlocal" not in variant.split(","):
        config.data.crop = "random_resize:0.7"
        config.evaluation.image_size = 128
    return config
