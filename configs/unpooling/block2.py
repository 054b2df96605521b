"""VGG19 unpooling pair cut at block2_conv2.

Source: the VGG19 unpooling encoder-decoder collection,
https://tfhub.dev/emilutz/collections/vgg19-unpooling-encoder-decoder/1
Images with sides that are multiples of 2.

[results:block2]
| variant | training | L1 in [0, 255] |
| --- | --- | --- |
| published | 30 to 100 epochs of 111,063 COCO photos | 3.859, 1,234 COCO photos |
| default | not run yet | |
| best | 34,400 crops, 8 of 96², then 2 of 256² a step | 4.509, 125 COCO photos |

Decoder: 260,035 parameters. Hardware of the training: two cores of a shared AMD EPYC
server, 32 min. Training: 1,021 photos, 90 % of 934 ImageNet samples (one per class) and
200 photos of BSDS500, with a short side of about 256. VGG19 weights: Keras, kernels of
blocks 4 and 5 rounded to 8 bits in our copy. Test: centre crops of 256² from COCO128
(the first 128 photos of COCO train2017; three are too small). L1 4.509 (4.125 to
4.894), PSNR 32.59 dB, SSIM 0.9445, MS-SSIM 0.9878. L1 of 102 validation photos after
32,600, 33,200, 33,800, 34,400 crops: 3.89, 3.82, 3.78, 3.76.
[/results]

The row `best` is the released decoder. Training starts with the layers that the decoder
of block 1 shares with this one; after this command it went on with 1,200 steps of 2
crops of 256² (docs/training_notes.md).

    ./launch.sh release --block=2 --photos=folder:PHOTOS \
        --test_photos=folder:COCO128 --weights=VGG19.h5

The published recipe on COCO's unlabeled photos, read out of the zip file:

    ./launch.sh train --config=configs/vgg19_block2.py --workdir=runs/block2 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, L1 on small random crops, Muon, averaged
parameters), `:best,gpu` (the same with larger steps), `:quickstart` (the same for a few
minutes on sample photos) and `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.unpooling import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(2, variant)
