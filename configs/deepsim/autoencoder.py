"""Autoencoder with a code of 8×8×8 numbers for 64², with the DeePSiM loss.

Data: random crops of 64 pixels of STL-10's 100,000 unlabelled photos of 96 pixels, as
published. Measured results: docs/deepsim.md.

    ./launch.sh train --config=deepsim/autoencoder --workdir=runs/autoencoder
    ./launch.sh train --config=deepsim/autoencoder:photos --workdir=runs/autoencoder \
        --config.data.source=folder:PHOTOS

Variants: `configs/deepsim/base.py`.
"""

import ml_collections

from configs.deepsim import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    source = "tfds:stl10:unlabelled"
    return base.make_config("autoencoder", "", source, 64, 500_000, variant)
