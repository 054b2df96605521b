"""VAE on COCO at 64×64.

Source: MariaPdg/image-autoencoding. 22,764,515 parameters, codes of 128 numbers;
trained on the 118,287 photos of train2017 and the 40,670 of test2017, evaluated on the
5,000 of val2017, of which the published program took the first batch alone.

| variant | training | PCC | SSIM |
|---|---|---|---|
| published | pictures after 3 and 20 epochs, no numbers | | |
| default | not run yet | | |
RESULTS
Commands (zip files as COCO has them):

    ./launch.sh train --config=configs/vae_coco.py --workdir=runs/vae_coco
    ./launch.sh evaluate --workdir=runs/vae_coco --part=validation --batch_size=64

Variants: see `configs/vae.py`.
"""

import ml_collections

from configs import vae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    return vae.make_config(
        "zip:train2017.zip,zip:test2017.zip", "zip:val2017.zip", variant
    )
