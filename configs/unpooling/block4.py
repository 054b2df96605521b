"""VGG19 unpooling pair cut at block4_conv2.

Source: the VGG19 unpooling encoder-decoder collection. Decoder: 5,865,027 parameters;
images with sides that are multiples of 8.

| variant | training | L1 in [0, 255] |
|---|---|---|
| published | 30 to 100 epochs of 111,063 COCO photos | 6.104, 1,234 COCO photos |
| default | not run yet | |
| best | 1,000 steps of 8 random 96² crops, 1,021 photos | 9.038, 125 COCO photos |

`:best` is what the command writes; it took 18 minutes on two shared CPU cores. It began
with the layers that block 3's decoder has too. Data: 934 ImageNet samples and 200
photos of BSDS500, 90 % of them for training; weights of Keras. In our weight file the
kernels of blocks 4 and 5 had been rounded to 8 bits; see docs/training_notes.md.
Evaluated on centre 256² crops of COCO128 (the first 128 photos of COCO train2017), less
three that are smaller: L1 9.038 (95 % interval 8.594 to 9.481), PSNR 26.87 dB, SSIM
0.8691, MS-SSIM 0.9431. L1 of 102 validation photos after 1,000 steps: 8.16.

    ./launch.sh release --block=4 --photos=folder:PHOTOS \
        --test_photos=folder:COCO128 --weights=VGG19.h5

Command (COCO's unlabeled photos, read out of the zip file):

    ./launch.sh train --config=configs/vgg19_block4.py --workdir=runs/block4 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, L1 on small random crops, Muon, averaged
parameters), `:best,gpu` (the same in larger steps), `:quickstart` (the same for minutes
on sample photos) and `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.unpooling import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(4, variant)
