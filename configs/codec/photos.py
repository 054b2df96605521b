"""Codec of natural photos, not released: docs/codec.md has its numbers.

    ./launch.sh train --config=configs/codec/photos.py --workdir=runs/codec-photos \
        --config.data.source=folder:PHOTOS

Variant: `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.codec import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = base.make_config("folder:photos", variant)
    if not variant:
        config.data.crop = "random_resize:0.5"
        config.data.image_size = config.evaluation.image_size = 128
        config.data.batch_size = 6
        # Without clipping, a norm of 10 to 20 grew to 158,000 in step 1,000.
        config.optimizer.learning_rate = 7e-4
        config.optimizer.clip_norm = 20.0
        config.preparation.image_size = 128
        config.preparation.batch_size = 32
    return config
