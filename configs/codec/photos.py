"""Codec of natural photos, released as `codec-photos`; its numbers: docs/codec.md.

    ./launch.sh train --config=configs/codec/photos.py --workdir=runs/codec-photos \
        --config.data.source=folder:PHOTOS --config.num_steps=24000

Variant: `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.codec import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = base.make_config("folder:photos", variant)
    model = config.model
    # 16 pixels per latent, and blocks that overlap.
    model.lapped, model.linear_unit = True, 8
    model.log_context = True
    if not variant:
        model.groups, model.checkerboards = (8, 16, 40, 96, 224), 4
        model.widths = (48, 96, 112)
        model.analysis_depths = model.synthesis_depths = (1, 1, 1)
        model.hyper_channels, model.hyper_width = 24, 64
        model.predictor_features = 64
        config.data.crop = "random_resize:0.3"
        config.data.image_size = config.evaluation.image_size = 128
        config.data.batch_size = 6
        config.data.stages = ((0.8, 192, 3),)
        # Without clipping, a norm of 10 to 20 grew to 158,000 in step 1,000.
        config.optimizer.learning_rate = 7e-4
        config.optimizer.clip_norm = 20.0
        config.preparation.num_photos = 1024
        config.preparation.image_size = 128
        config.preparation.batch_size = 32
    else:
        model.groups = (8, 56)
        model.widths = (8, 8, 16)
        model.analysis_depths = model.synthesis_depths = (0, 0, 1)
        config.data.image_size = config.evaluation.image_size = 64
        config.preparation.image_size = 64
    return config
