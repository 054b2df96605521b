"""Faces behind a grid, 64×64.

Nine magenta squares of 13×13 pixels, one pixel apart, around the middle.

Source: the restoration programs beside facecompressor. Not run yet at full length.

    ./launch.sh train --config=restoration/grid --workdir=runs/grid \
        --config.data.source=zip:img_align_celeba.zip \
        --config.data.identities=identity_CelebA.txt
    ./launch.sh evaluate --workdir=runs/grid

Variants: see `configs/restoration/base.py`.
"""

import ml_collections

from configs.restoration import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_faces("grid", variant)
