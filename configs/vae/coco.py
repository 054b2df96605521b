"""VAE on COCO at 64×64.

Source: MariaPdg/image-autoencoding. 22,764,515 parameters, codes of 128 numbers;
trained on the 118,287 photos of train2017 and the 40,670 of test2017, evaluated on the
5,000 of val2017, of which the published program took the first batch alone.

| variant | training | PCC | SSIM |
|---|---|---|---|
| published | pictures after 3 and 20 epochs, no numbers | | |
| default | not run yet | | |
| photos | 640 steps of 64, 1,021 photos, about 40 minutes | 0.860 | 0.446 |
| photos,beta | the same | 0.787 | 0.369 |

PCC over all values and SSIM with zero padding on COCO128 (the first 128 photos of COCO
train2017), centre squares resized to 64². Training photos: 90 % of 934 ImageNet samples
and 200 photos of BSDS500. Hardware: two shared cores of an AMD EPYC server. More in
docs/vae.md; command:

    ./launch.sh train --config=configs/vae_coco.py:photos --workdir=runs/vae \
        --config.data.source=folder:PHOTOS
    ./launch.sh evaluate --workdir=runs/vae --source=folder:COCO128 --batch_size=64

Commands (zip files as COCO has them):

    ./launch.sh train --config=configs/vae_coco.py --workdir=runs/vae_coco
    ./launch.sh evaluate --workdir=runs/vae_coco --part=validation --batch_size=64

Variants: see `configs/vae/base.py`.
"""

import ml_collections

from configs.vae import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return base.make_config(
        "zip:train2017.zip,zip:test2017.zip", "zip:val2017.zip", variant
    )
