"""VGG19 unpooling pair cut at block3_conv2.

Source: the VGG19 unpooling encoder-decoder collection. Decoder: 1,145,155 parameters;
images with sides that are multiples of 4.

| variant | training | L1 in [0, 255] |
|---|---|---|
| published | 30 to 100 epochs of 111,063 COCO photos | 5.124, 1,234 COCO photos |
| default | not run yet | |
| best | 2,500 steps of 8 random 96² crops, 1,021 photos | 6.002, 125 COCO photos |

`:best` is the released decoder; it took 23 minutes on two shared CPU cores. It began
with the layers that block 2's decoder has too. Data: 934 ImageNet samples and 200
photos of BSDS500, 90 % of them for training; weights of Keras. Evaluated on centre 256²
crops of COCO128 (the first 128 photos of COCO train2017), less three that are smaller:
L1 6.002 (95 % interval 5.588 to 6.417), PSNR 30.23 dB, SSIM 0.9215, MS-SSIM 0.9749. L1
of 102 validation photos after 2,000, 2,500 steps: 5.42, 5.20.

    ./launch.sh release --block=3 --photos=folder:PHOTOS \
        --test_photos=folder:COCO128 --weights=VGG19.h5

Command (COCO's unlabeled photos, read out of the zip file):

    ./launch.sh train --config=configs/vgg19_block3.py --workdir=runs/block3 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, L1 on small random crops, Muon, averaged
parameters), `:best,gpu` (the same in larger steps), `:quickstart` (the same for minutes
on sample photos) and `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.unpooling import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(3, variant)
