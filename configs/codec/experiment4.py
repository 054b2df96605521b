"""Experiment 4: 24 channels, stage 1 of the autoencoder, no quantiser.

Published: 224² crops, batches of 40, Adam at 1e-6, 110,000 epochs of 1,000 frames of
faces (500 for the test): 40.1 dB in 14 days.
Ours, `:photos`, 2,500 steps of 8 crops of 64² of LFW, 33 minutes of two cores beside
other programs: 28.1 dB on 200 test faces of 128² (`:photos,paper`: 36.9 after 5,000
steps); docs/codec.md.

    ./launch.sh train --config=configs/codec/experiment4.py:photos \
        --workdir=runs/experiment4 --config.data.source=folder:PHOTOS

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
        learning_rate=1e-6,
        epochs=110_000,
    )
