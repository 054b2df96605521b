"""VAE on COCO at 64×64.

Source: https://github.com/MariaPdg/image-autoencoding. 22,764,515 parameters, 128
latent units. The published program trains on the 118,287 photos of train2017 and the
40,670 of test2017 and evaluates on the first batch of the 5,000 photos of val2017; here
all of them are evaluated.

[results:vae-coco]
| variant | training | PCC | SSIM, zero padding |
| --- | --- | --- | --- |
| published | pictures after 3 and 20 epochs, no numbers | | |
| default | not run yet | | |
| photos | 640 steps of 64, 40 min | 0.860 | 0.446 |
| photos,beta | 640 steps of 64, 40 min | 0.787 | 0.369 |

Test: the centre squares of COCO128, resized to 64². Training: 1,021 photos, 90 % of 934
ImageNet samples (one per class) and 200 photos of BSDS500. VGG19 weights: Keras, for
the Fréchet distances. Hardware: two cores of a shared AMD EPYC server.
[/results]

PCC is one correlation over all values of all photos. The rows with numbers:

    ./launch.sh train --config=configs/vae_coco.py:photos --workdir=runs/vae \
        --config.data.source=folder:PHOTOS
    ./launch.sh evaluate --workdir=runs/vae --source=folder:COCO128 --batch_size=64

The published recipe, with COCO's zip files in the current folder:

    ./launch.sh train --config=configs/vae_coco.py --workdir=runs/vae_coco
    ./launch.sh evaluate --workdir=runs/vae_coco --part=validation --batch_size=64

Variants: see `configs/vae/base.py`; more numbers: docs/vae.md.
"""

import ml_collections

from configs.vae import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(
        "zip:train2017.zip,zip:test2017.zip", "zip:val2017.zip", variant
    )
