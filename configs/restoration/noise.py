"""Massive noise on faces, 64×64.

Gaussian noise of standard deviation 125 grey levels on every value, rounded and
clipped; one of three fixed fields in evaluation.

Source: the restoration programs beside facecompressor. Not run yet at full length.

    ./launch.sh train --config=restoration/noise --workdir=runs/noise \
        --config.data.source=zip:img_align_celeba.zip \
        --config.data.identities=identity_CelebA.txt
    ./launch.sh evaluate --workdir=runs/noise

Variants: see `configs/restoration/base.py`.
"""

import ml_collections

from configs.restoration import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_faces("noise:125", variant)
