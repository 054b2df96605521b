"""VGG19 unpooling pair cut at block1_conv2.

Source: the VGG19 unpooling encoder-decoder collection. Decoder: 38,659 parameters;
images of any size.

| variant | training | L1 in [0, 255] |
|---|---|---|
| published | 30 to 100 epochs of 111,063 COCO photos | 2.494, 1,234 COCO photos |
| default | not run yet | |
| released | 9,000 steps of 8 random 96² crops, 1,021 photos | 2.883, 125 COCO photos |
| best | 12,000 steps of the same, L1 alone | not run yet |

The released decoder is `:best` with 9,000 steps and L2 beside L1; it took 77 minutes on
two shared CPU cores. Data: 934 ImageNet samples and 200 photos of BSDS500, 90 % of them
for training; weights of Keras. Evaluated on centre 256² crops of COCO128 (the first 128
photos of COCO train2017), less three that are smaller:
L1 2.883 (95 % interval 2.596 to 3.170), PSNR 36.44 dB, SSIM 0.9730, MS-SSIM 0.9965.
Validation L1 on 102 photos fell from 3.00 at step 2,000 to 2.29 at step 9,000.

    ./launch.sh train --config=configs/vgg19_block1.py:best --workdir=runs/block1 \
        --config.data.source=folder:PHOTOS --config.encoder.weights=VGG19.h5 \
        --config.num_steps=9000 --config.loss.l2=1.0
    ./launch.sh evaluate --workdir=runs/block1 --source=folder:COCO128 --image_size=256

Command (COCO's unlabeled photos, read out of the zip file):

    ./launch.sh train --config=configs/vgg19_block1.py --workdir=runs/block1 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, pixel losses on small random crops,
averaged parameters), `:quickstart` (the same for minutes on sample photos) and
`:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs import unpooling


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return unpooling.make_config(1, variant)
