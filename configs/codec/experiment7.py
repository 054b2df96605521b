"""Experiment 7: 24 channels, stage 2 of the autoencoder, 6 bits, from experiment 6.

Published: 224² crops, batches of 40, Adam at 1e-8, 350 epochs of 60,000 frames of
faces (6,000 for the test): 43.08 dB with the quantiser, 43.4 after stage 2.
Ours: not run; experiments 4 and 5 are in docs/codec.md.

    ./launch.sh train --config=configs/codec/experiment7.py:photos \
        --workdir=runs/experiment7 --config.data.source=folder:PHOTOS

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
        epochs=350,
        bits=6,
        stage1="runs/experiment6",
    )
