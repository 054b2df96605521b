"""Colours of photos: a decoder on a frozen VGG19 that predicts bins of ab.

2,705,476 parameters. `best`, of which `color-photos` took 2,000 steps in 35 minutes of
two cores beside other work; data and tables: `docs/colorization.md`. 128 COCO photos:
CIEDE2000 10.27, of grey 10.96.

    ./launch.sh train --config=colorization/photos:best --workdir=runs/color-photos \
        --config.data.source=folder:PHOTOS
    ./launch.sh evaluate --workdir=color-photos --source=folder:TEST \
        --crop=center_resize --image_size=256 --output=results.json

Variants: see `configs/colorization/base.py`; `encoder_decoder` and `vgg16` are the
networks of facecompressor.
"""

import ml_collections

from configs.colorization import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config("folder:photos", variant)
