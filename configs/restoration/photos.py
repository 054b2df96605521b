"""A blind restorer of photos: Gaussian noise of 0 to 55, or JPEG of quality 10 to 90.

One network for all; see `systems/restoration/restorer.py`. The pyramid has 2,425,886
parameters, 4.9 MB in float16, and costs a fifth of DnCNN's products per pixel.

Trained on random crops of photos, turned and mirrored, one in ten without colour; in
one half the blocks of JPEG begin anywhere. Noise is added to one half of the noisy
photos as files have it (rounded, clipped), to the other half as papers measure it.

At equal time (2.5 minutes on two cores, validation on 32 photos with the mixture) the
pyramid reaches 28.70 dB in 345 steps, DnCNN 25.37 dB in 73. After 250 steps, 16 photos:
loss `psnr` 28.19 dB and `l1` 28.00 at a learning rate of 2e-3, 27.77 and 28.04 at 1e-3.
At 2e-3 with gradients clipped at a norm of 50 a run diverged after 1,500 steps, so the
rate is 1e-3 and the limit 10.

`best` took about 2.4 hours of two cores of a shared AMD EPYC server. PSNR of
34 validation photos after 2,000, 6,000, 12,000, 18,000 and 24,000 steps: 29.77, 30.22,
30.50, 30.62 and 30.74 dB. CBSD68 with unclipped noise of 25: 31.02 dB, 0.3 dB behind
DnCNN; more in `docs/restoration.md`.

| variant | |
|---|---|
| `best` | 24,000 steps, released as `restore-photos` |
| `dncnn` | plain DnCNN of 20 layers, with the same estimator |
| `runlocal` | seconds on a CPU, without any file |

    ./launch.sh train --config=restoration/photos:best --workdir=runs/restore-photos \
        --config.data.source=folder:PHOTOS
    ./launch.sh evaluate_restoration --model=runs/restore-photos \
        --photos=folder:CBSD68 --damage=noise:25:unclipped --output=report
"""

import ml_collections

from configs.restoration import base
from configs.variants import apply_variants

DAMAGE = "noise:0-55|noise:0-55:unclipped|jpeg:10-90"


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = base.make_shared()
    config.num_epochs, config.num_steps = 0.0, 20_000
    config.device_per_core = True
    config.model.name = "pyramid"
    config.model.widths, config.model.blocks = (64, 96, 128), (2, 2, 4)
    data, evaluation = config.data, config.evaluation
    data.source = "folder:photos"
    data.split_fractions = (0.97, 0.03, 0.0)
    # Eight pixels are cut off after the damage.
    data.crop, data.image_size, data.damage_shift = "random", 72, 8
    data.damage = evaluation.damage = DAMAGE
    data.augmentation.turn = True
    data.augmentation.gray_share = 0.1
    data.cache_megabytes = 500
    evaluation.crop, evaluation.image_size = "center", 192
    evaluation.batch_size = 4
    evaluation.every_steps = config.checkpoints.every_steps = 1000
    config.loss.name = "psnr"
    config.loss.estimation = 10.0
    optimizer = config.optimizer
    optimizer.schedule, optimizer.learning_rate = "linear", 1e-3
    optimizer.warmup_steps = 200
    optimizer.weight_decay = 0.0
    # Norms fall from 80 to 25 in the first hundred steps; a factor on all gradients
    # changes nothing for Adam.
    optimizer.clip_norm = 10.0
    optimizer.average_decay = 0.999
    apply = {"dncnn": _dncnn, "best": _best, "runlocal": base.runlocal}
    apply_variants(config, variant, apply)
    if "runlocal" in variant.split(","):
        optimizer.warmup_steps = 0
    return config


def _dncnn(config: ml_collections.ConfigDict) -> None:
    config.model.name = "dncnn"
    config.model.widths, config.model.blocks = (64,), (20,)


def _best(config: ml_collections.ConfigDict) -> None:
    """On two idle cores 0.2 s a step, 0.3 s of the last fifth."""
    config.num_steps = 24_000
    # Larger crops at the end: more of a pixel's surroundings, and of the lowest level.
    config.data.stages = ((0.8, 136, 8),)
    config.evaluation.every_steps = config.checkpoints.every_steps = 2000
