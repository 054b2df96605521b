"""VAE on Food-101 at 64×64.

Source: https://github.com/MariaPdg/image-autoencoding. 22,764,515 parameters, 128
latent units. Trained on the 75,750 photos of the official training list, evaluated on
the 25,250 of the test list (the published program evaluates on the first batch only).
The classes colour the map of the latent space.

| variant | training | PCC | SSIM |
|---|---|---|---|
| published | pictures after 3, 10 and 20 epochs, no numbers | | |
| default | not run yet | | |

Commands; TFDS calls the official test list "validation":

    python -c 'import tensorflow_datasets as tfds; \
        tfds.builder("food101").download_and_prepare(file_format="array_record")'
    ./launch.sh train --config=configs/vae_food101.py --workdir=runs/vae_food101
    ./launch.sh evaluate --workdir=runs/vae_food101 --part=validation --batch_size=64

Variants: those of `configs/vae/base.py` and `:folder`, which reads the unpacked archive
with its class folders (`--config.data.source=folder:food-101/images`) and splits it at
random in the official proportion.
"""

import ml_collections

from configs.vae import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    names = [name for name in variant.split(",") if name]
    if "folder" in names:
        names.remove("folder")
        sources, share = ("folder:food-101/images", ""), 0.25
    else:
        sources, share = ("tfds:food101:train", "tfds:food101:validation"), 0.0
    return base.make_config(*sources, ",".join(names), validation_share=share)
