"""VGG19 unpooling pair cut at block5_conv2.

Source: the VGG19 unpooling encoder-decoder collection. Decoder: 15,304,259 parameters;
images with sides that are multiples of 16.

| variant | training | L1 in [0, 255] |
|---|---|---|
| published | 30 to 100 epochs of 111,063 COCO photos | 6.626, 1,234 COCO photos |
| default | not run yet | |
| best | not run yet | |

Command (COCO's unlabeled photos, read out of the zip file):

    ./launch.sh train --config=configs/vgg19_block5.py --workdir=runs/block5 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, pixel losses on small random crops,
averaged parameters), `:quickstart` (the same for minutes on sample photos) and
`:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs import unpooling


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return unpooling.make_config(5, variant)
