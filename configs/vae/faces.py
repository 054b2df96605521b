"""VAE of aligned faces at 64×64.

The negative ELBO with a trained standard deviation of p(x|z), a network of half the
published widths or less. Data: CelebA's aligned faces at half size (89×109), their
central 80 pixels. Measured results: docs/vae.md.

    ./launch.sh train --config=configs/vae/faces.py --workdir=runs/vae-faces \
        --config.data.source=zip:celeba_train.zip
    ./launch.sh evaluate --workdir=runs/vae-faces --source=zip:celeba_test.zip \
        --batch_size=64
    ./launch.sh sample --workdir=runs/vae-faces --num=64 --output=grid.png

Variants: see `configs/vae/base.py`; `beta` is on without another loss. `deepsim`
takes learning rates for few photos.
"""

import ml_collections

from configs.deepsim import base as deepsim
from configs.vae import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    names = [name for name in variant.split(",") if name]
    uses_deepsim = "deepsim" in names
    if not uses_deepsim:
        names = ["beta", *names]
    source = "zip:celeba_train.zip"
    config = base.make_config(source, "", ",".join(names), validation_share=0.05)
    config.model.learn_decoder_std = not uses_deepsim
    if "runlocal" in names:
        return config
    config.num_epochs, config.num_steps = 0.0, 2000
    config.data.batch_size = 32
    config.data.crop = config.evaluation.crop = "center_resize:80"
    model = config.model
    model.encoder_channels, model.decoder_channels = (32, 64, 128), (128, 48, 16)
    model.hidden_size = 512
    model.batch_norm_momentum = 0.99
    config.evaluation.every_steps = config.checkpoints.every_steps = 500
    if uses_deepsim:
        deepsim.few_photos(config)
    return config
