"""Blurred faces, 64×64.

Gaussian blur of 15×15 pixels, standard deviation 2.6.

Source: the restoration programs beside facecompressor. Not run yet at full length.

    ./launch.sh train --config=restoration/blur --workdir=runs/blur \
        --config.data.source=zip:img_align_celeba.zip \
        --config.data.identities=identity_CelebA.txt
    ./launch.sh evaluate --workdir=runs/blur

Variants: see `configs/restoration/base.py`.
"""

import ml_collections

from configs.restoration import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_faces("blur:15", variant)
