"""Experiment 5: 24 channels, stage 2 of the autoencoder, 6 bits, from experiment 4.

Published: 224² crops, batches of 40, Adam at 1e-8, 12,650 epochs of 1,000 frames of
faces (500 for the test): 40.1 dB, 39.7 with the quantiser, 39.9 after stage 2.
Ours, `:photos`, from 28.1 dB: 28.1 with the quantiser, 29.1 after 500 steps of stage 2
(`:photos,paper`: 36.9, 36.8 and 37.1 after 1,000); docs/codec.md.

    ./launch.sh train --config=configs/codec/experiment5.py:photos \
        --workdir=runs/experiment5 --config.data.source=folder:PHOTOS

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
        learning_rate=1e-8,
        epochs=12_650,
        bits=6,
        stage1="runs/experiment4",
    )
