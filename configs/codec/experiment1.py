"""Experiment 1: 96 channels, stage 1 of the autoencoder, no quantiser.

Published: 128² crops, batches of 32, Adam at 1e-6, 12,577 epochs of 5,000 frames of
faces (500 for the test): 43 dB in 4 days of a P100.
Ours: not run; experiments 4 and 5 are in docs/codec.md.

    ./launch.sh train --config=configs/codec/experiment1.py:photos \
        --workdir=runs/experiment1 --config.data.source=folder:PHOTOS

Source: facecompressor (PyTorch). Variants: see `configs/codec/compressive.py`.
"""

import ml_collections

from configs.codec import compressive


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return compressive.make_config(
        variant,
        channels=96,
        crop=128,
        batch_size=32,
        learning_rate=1e-6,
        epochs=12_577,
    )
