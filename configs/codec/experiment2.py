"""Experiment 2: 48 channels, stage 1 of the autoencoder, no quantiser.

Published: 224² crops, batches of 40, Adam at 1e-6, 16,000 epochs of 1,000 frames of
faces (500 for the test): 32 dB in 31 hours.
Ours: not run; experiments 4 and 5 are in docs/codec.md.

    ./launch.sh train --config=configs/codec/experiment2.py:photos \
        --workdir=runs/experiment2 --config.data.source=folder:PHOTOS

Source: facecompressor (PyTorch). Variants: see `configs/codec/compressive.py`.
"""

import ml_collections

from configs.codec import compressive


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return compressive.make_config(
        variant,
        channels=48,
        crop=224,
        batch_size=40,
        learning_rate=1e-6,
        epochs=16_000,
    )
