"""A small network that enlarges photos by 4, for PSNR at few operations.

Six convolutions of 48 channels in residual blocks at the photo's own size and a pixel
shuffle, added to the bicubic enlargement: 146,832 parameters. Trained on random crops,
turned and mirrored, reduced bicubically; L1, in the last fifth L2.

`best` took 41 minutes of two cores of a shared AMD EPYC server, 0.11 s a step, and is
released as `upscale-photos`. PSNR of the luma of 34 validation photos after 2,000,
6,000, 10,000, 16,000 and 22,000 steps: 28.08, 28.21, 28.25, 28.28 and 28.31 dB. Set5:
31.25 dB, bicubic 28.43; more in `docs/super_resolution.md`. `gan` from it took 40
minutes more, and is released with 0.2 of the parameters of `upscale-photos` as
`upscale-photos-gan`: Set5 29.14 dB, LPIPS 0.127 instead of 0.177. A photo of Set5 is
one of BSDS500 (`302003`): leave that one out of the training.

| variant | |
|---|---|
| `x2`, `x3`, `x8` | other factors |
| `gan` | content and adversarial loss, from the generator of another run |
| `srgan` | networks, losses and rates of AIDL_Project |
| `published` | with `srgan`: its faults, see `systems/super_resolution/objective.py` |
| `best` | 22,000 steps, released as `upscale-photos` |
| `runlocal` | seconds on a CPU, without any file |

    ./launch.sh train --config=super_resolution/photos:best --workdir=runs/upscale4 \
        --config.data.source=folder:PHOTOS
    ./launch.sh evaluate --workdir=runs/upscale4 --source=folder:SET5 --crop=whole
"""

import ml_collections

from configs.variants import apply_variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.system = "super_resolution"
    config.seed = 0
    config.num_epochs, config.num_steps = 0.0, 10_000
    config.initialize_from = ""
    # A run whose generator the adversarial training starts from.
    config.initialize_shared_from = ""
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md

    config.model = model = ml_collections.ConfigDict()
    model.name, model.factor = "fast", 4
    model.width, model.blocks = 48, 3

    config.loss = loss = ml_collections.ConfigDict()
    loss.name, loss.then, loss.then_from = "l1", "l2", 0.8
    loss.pixel, loss.content, loss.adversarial = 1.0, 0.0, 0.0
    # Of VGG19 for the content loss; and of the adversarial one.
    loss.layer, loss.weights, loss.vgg_preprocessing = "block3_conv3", "", True
    loss.discriminator, loss.discriminator_width = "cross_entropy", 64
    loss.pause = False

    config.data = data = ml_collections.ConfigDict()
    data.source = "folder:photos"
    data.validation_source = ""
    data.split_fractions = (0.97, 0.03, 0.0)
    data.split_seed = 0
    data.crop, data.image_size = "random", 192
    data.augmentation = augmentation = ml_collections.ConfigDict()
    augmentation.flip, augmentation.turn = False, True
    augmentation.jitter = augmentation.hue = augmentation.scale = 0.0
    augmentation.gray_share, augmentation.size = 0.0, 0
    data.flip = False  # after the reduction
    data.batch_size = 16
    data.cache_megabytes = 500
    data.num_workers = 0
    data.num_threads = 2
    data.prefetch = 4
    data.max_broken_share = 0.01

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"
    optimizer.schedule = "linear"
    optimizer.learning_rate, optimizer.final_learning_rate = 1e-3, 1e-6
    optimizer.warmup_steps = 100
    optimizer.b1, optimizer.b2, optimizer.eps = 0.9, 0.999, 1e-8
    optimizer.clip_norm = 0.0
    optimizer.average_decay = 0.999

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 1000
    evaluation.num_photos = 0  # of the validation photos; 0 is all
    evaluation.num_pictures = 4
    evaluation.crop, evaluation.image_size = "center", 240
    evaluation.batch_size = 4

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 2
    checkpoints.keep_best = True
    checkpoints.best_metric = "photo_psnr_y"
    checkpoints.best_mode = "max"

    apply = {
        **{f"x{factor}": _enlarge_by(factor) for factor in (2, 3, 8)},
        "gan": _gan,
        "srgan": _srgan,
        "published": _published,
        "best": _best,
        "runlocal": _runlocal,
    }
    return apply_variants(config, variant, apply)


def _enlarge_by(factor: int):
    def apply(config: ml_collections.ConfigDict) -> None:
        config.model.factor = factor

    return apply


def _gan(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 4000
    loss = config.loss
    loss.then_from = 1.0  # L1 to the end
    # Features of VGG19 at this layer are of the order of 1000, and squared here.
    loss.pixel, loss.content, loss.adversarial = 1.0, 1e-7, 5e-3
    loss.discriminator_width = 32
    loss.pause = True
    optimizer = config.optimizer
    optimizer.learning_rate, optimizer.final_learning_rate = 2e-4, 2e-6
    _two_parts(config)
    config.data.image_size, config.data.batch_size = 128, 8
    config.checkpoints.best_metric, config.checkpoints.best_mode = "psnr", "max"


def _srgan(config: ml_collections.ConfigDict) -> None:
    config.model.name = "srgan"
    loss = config.loss
    loss.pixel, loss.content, loss.adversarial = 0.0, 1.0, 1e-3
    optimizer = config.optimizer
    optimizer.schedule, optimizer.warmup_steps = "constant", 0
    optimizer.learning_rate, optimizer.b1 = 2e-4, 0.5
    _two_parts(config)
    # 64² and 256² pixels.
    config.data.image_size, config.data.batch_size = 256, 12
    config.data.augmentation.flip, config.data.augmentation.turn = True, False


def _published(config: ml_collections.ConfigDict) -> None:
    config.loss.vgg_preprocessing = False
    config.loss.discriminator = "mse"


def _two_parts(config: ml_collections.ConfigDict) -> None:
    config.optimizer.average_decay = 0.0
    config.optimizer.parts = ml_collections.ConfigDict()
    config.optimizer.parts.generator = ml_collections.ConfigDict()
    config.optimizer.parts.discriminator = ml_collections.ConfigDict()


def _best(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 22_000
    config.evaluation.every_steps = config.checkpoints.every_steps = 2000


def _runlocal(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 4
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.batch_size = config.evaluation.batch_size = 2
    config.data.image_size = config.evaluation.image_size = 48
    config.model.width, config.model.blocks = 8, 1
    config.loss.weights, config.loss.discriminator_width = "random", 4
    config.optimizer.warmup_steps = 0
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.evaluation.num_pictures = 2
    config.log_every_steps = 1
