"""Experiment 3: 48 channels, stage 2 of the autoencoder, 3 bits, from experiment 2.

Published: 224² crops, batches of 40, Adam at 1e-6, 2,500 epochs of 1,000 frames of
faces (500 for the test): 0.2 dB more than without stage 2.
Ours: not run; experiments 4 and 5 are in docs/codec.md.

    ./launch.sh train --config=configs/codec/experiment3.py:photos \
        --workdir=runs/experiment3 --config.data.source=folder:PHOTOS

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
        epochs=2500,
        bits=3,
        stage1="runs/experiment2",
    )
