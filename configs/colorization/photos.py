"""Colours of photos: a pyramid that predicts distributions over bins of ab.

2,867,692 parameters, 5.7 MB in float16. Not trained yet.

    ./launch.sh train --config=colorization/photos:best --workdir=runs/color-photos \
        --config.data.source=folder:PHOTOS
    ./launch.sh evaluate --workdir=runs/color-photos --source=folder:TEST \
        --crop=center_resize --image_size=256

Variants: see `configs/colorization/base.py`; `encoder_decoder` and `vgg16` are the
networks of the seed.
"""

import ml_collections

from configs.colorization import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config("folder:photos", variant)
