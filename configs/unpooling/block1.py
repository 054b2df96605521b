"""VGG19 unpooling pair cut at block1_conv2.

Source: the VGG19 unpooling encoder-decoder collection,
https://tfhub.dev/emilutz/collections/vgg19-unpooling-encoder-decoder/1
Images of any size.

[results:block1]
| variant | training | L1 in [0, 255] |
| --- | --- | --- |
| published | 30 to 100 epochs of 111,063 COCO photos | 2.494, 1,234 COCO photos |
| default | not run yet | |
| best | 64,000 crops, 8 of 96² a step | 2.741, 125 COCO photos |

Decoder: 38,659 parameters. Hardware of the training: two cores of a shared AMD EPYC
server, 14 min. Training: 1,021 photos, 90 % of 934 ImageNet samples (one per class) and
200 photos of BSDS500, with a short side of about 256. VGG19 weights: Keras, kernels of
blocks 4 and 5 rounded to 8 bits in our copy. Test: centre crops of 256² from COCO128
(the first 128 photos of COCO train2017; three are too small). L1 2.741 (2.461 to
3.020), PSNR 36.89 dB, SSIM 0.9749, MS-SSIM 0.9967. L1 of 102 validation photos after
16,000, 32,000, 48,000, 64,000 crops: 3.17, 2.67, 2.35, 2.14.
[/results]

The row `best` is the released decoder.

    ./launch.sh release --block=1 --photos=folder:PHOTOS \
        --test_photos=folder:COCO128 --weights=VGG19.h5

The published recipe on COCO's unlabeled photos, read out of the zip file:

    ./launch.sh train --config=configs/vgg19_block1.py --workdir=runs/block1 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, L1 on small random crops, Muon, averaged
parameters), `:best,gpu` (the same with larger steps), `:quickstart` (the same for a few
minutes on sample photos) and `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.unpooling import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(1, variant)
