"""Pixelated faces, 64×64.

Faces reduced 8 times and enlarged by repeating pixels; the same as super-resolution
×8.

Source: the restoration programs beside facecompressor. Not run yet at full length.

    ./launch.sh train --config=restoration/pixelate --workdir=runs/pixelate \
        --config.data.source=zip:img_align_celeba.zip \
        --config.data.identities=identity_CelebA.txt
    ./launch.sh evaluate --workdir=runs/pixelate

Variants: see `configs/restoration/base.py`.
"""

import ml_collections

from configs.restoration import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_faces("pixelate:8", variant)
