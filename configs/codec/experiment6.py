"""Experiment 6: 24 channels, stage 1 of the autoencoder, no quantiser.

Published: 224² crops, batches of 40, Adam at 2e-5, 960 epochs of 60,000 frames of
faces (6,000 for the test): 44.02 dB in 5 days.
Ours: not run; experiments 4 and 5 are in docs/codec.md.

    ./launch.sh train --config=configs/codec/experiment6.py:photos \
        --workdir=runs/experiment6 --config.data.source=folder:PHOTOS

Source: facecompressor (PyTorch). Variants: see `configs/codec/compressive.py`.
"""

import ml_collections

from configs.codec import compressive


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return compressive.make_config(
        variant,
        channels=24,
        crop=224,
        batch_size=40,
        learning_rate=2e-5,
        epochs=960,
    )
