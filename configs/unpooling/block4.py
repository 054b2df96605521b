"""VGG19 unpooling pair cut at block4_conv2.

Source: the VGG19 unpooling encoder-decoder collection,
https://tfhub.dev/emilutz/collections/vgg19-unpooling-encoder-decoder/1
Images with sides that are multiples of 8.

[results:block4]
| variant | training | L1 in [0, 255] |
| --- | --- | --- |
| published | 30 to 100 epochs of 111,063 COCO photos | 6.104, 1,234 COCO photos |
| default | not run yet | |
| best | 11,736 crops, 8 of 96², then 2 of 256² a step | 7.144, 125 COCO photos |

Decoder: 5,865,027 parameters. Hardware of the training: two cores of a shared AMD EPYC
server, 108 min. Training: 1,021 photos, 90 % of 934 ImageNet samples (one per class)
and 200 photos of BSDS500, with a short side of about 256. VGG19 weights: Keras, kernels
of blocks 4 and 5 rounded to 8 bits in our copy. Test: centre crops of 256² from COCO128
(the first 128 photos of COCO train2017; three are too small). L1 7.144 (6.733 to
7.555), PSNR 28.77 dB, SSIM 0.9053, MS-SSIM 0.9655. L1 of 102 validation photos after
9,136, 9,736, 10,336, 10,936, 11,536, 11,736 crops: 7.24, 6.76, 6.63, 6.48, 6.36, 6.35.
[/results]

The row `best` is the released decoder, whose kernels are rounded to 8 bits. Training
starts with the layers of the decoder of block 3 and four in front of them that are
fitted in closed form (vgg_unpool_jax/systems/unpooling/closed_form.py). It was stopped
after 767 of the 4,000 steps of `:best`, and went on with 1,200 and 1,600 steps of 2
crops of 256² (docs/training_notes.md), where `:best` has 600 at its end.

    ./launch.sh release --block=4 --photos=folder:PHOTOS \
        --test_photos=folder:COCO128 --weights=VGG19.h5

The published recipe on COCO's unlabeled photos, read out of the zip file:

    ./launch.sh train --config=configs/vgg19_block4.py --workdir=runs/block4 \
        --config.data.source=zip:unlabeled2017.zip

Variants: `:best` (normalised decoder input, L1 on small random crops, Muon, averaged
parameters), `:best,gpu` (the same with larger steps), `:quickstart` (the same for a few
minutes on sample photos) and `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.unpooling import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(4, variant)
