"""VGG19 unpooling pair cut at block3_conv2.

Source: the VGG19 unpooling encoder-decoder collection,
https://tfhub.dev/emilutz/collections/vgg19-unpooling-encoder-decoder/1
Images with sides that are multiples of 4.

[results:block3]
| variant | training | L1 in [0, 255] |
| --- | --- | --- |
| published | 30 to 100 epochs of 111,063 COCO photos | 5.124, 1,234 COCO photos |
| default | not run yet | |
| best | 22,400 crops, 8 of 96², then 2 of 256² a step | 5.826, 125 COCO photos |

Decoder: 1,145,155 parameters. Hardware of the training: two cores of a shared AMD EPYC
server, 59 min. Training: 1,021 photos, 90 % of 934 ImageNet samples (one per class) and
200 photos of BSDS500, with a short side of about 256. VGG19 weights: Keras, kernels of
blocks 4 and 5 rounded to 8 bits in our copy. Test: centre crops of 256² from COCO128
(the first 128 photos of COCO train2017; three are too small). L1 5.826 (5.414 to
6.237), PSNR 30.47 dB, SSIM 0.9244, MS-SSIM 0.9765. L1 of 102 validation photos after
20,600, 21,200, 21,800, 22,400 crops: 5.39, 5.18, 5.09, 5.04.
[/results]

The row `best` is the released decoder. Training starts with the layers that the decoder
of block 2 shares with this one; after this command it went on with 1,200 steps of 2
crops of 256² (docs/training_notes.md).

    ./launch.sh release --block=3 --photos=folder:PHOTOS \
        --test_photos=folder:COCO128 --weights=VGG19.h5

The published recipe on COCO's unlabeled photos, read out of the zip file:

    ./launch.sh train --config=configs/vgg19_block3.py --workdir=runs/block3 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, L1 on small random crops, Muon, averaged
parameters), `:best,gpu` (the same with larger steps), `:quickstart` (the same for a few
minutes on sample photos) and `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.unpooling import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(3, variant)
