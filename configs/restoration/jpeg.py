"""Faces in JPEG of quality 5, 64×64.

Compressed as JPEG of quality 5 with 4:2:0 subsampling.

Source: the restoration programs beside facecompressor. Not run yet at full length.

    ./launch.sh train --config=restoration/jpeg --workdir=runs/jpeg \
        --config.data.source=zip:img_align_celeba.zip \
        --config.data.identities=identity_CelebA.txt
    ./launch.sh evaluate --workdir=runs/jpeg

Variants: see `configs/restoration/base.py`.
"""

import ml_collections

from configs.restoration import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_faces("jpeg:5", variant)
