"""Faces behind squares, 64×64.

Three or four magenta squares of 5 to 15 pixels anywhere; four in fixed places in
evaluation.

Source: the restoration programs beside facecompressor. Not run yet at full length.

    ./launch.sh train --config=restoration/squares --workdir=runs/squares \
        --config.data.source=zip:img_align_celeba.zip \
        --config.data.identities=identity_CelebA.txt
    ./launch.sh evaluate --workdir=runs/squares

Variants: see `configs/restoration/base.py`.
"""

import ml_collections

from configs.restoration import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_faces("squares", variant)
