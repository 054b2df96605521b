"""The configs that the restoration experiments share.

`make_faces` is the published recipe for one damage of CelebA's aligned faces at 64×64:
the pyramidal DenseNet of 103 layers, Adam at 3e-4 with L2 1e-4, MSE on [-1, 1], batches
of 80, a flip, slight changes of colour and size, damage of the published program, fixed
damage in evaluation. The faces are split by people, not by files.

| variant | |
|---|---|
| `basic21`, ..., `pyramidal52` | another network, see `systems/restoration` |
| `as_code` | the DenseNet of 104 layers of the published program |
| `as_drawn` | the DenseNet with the transitions of the published drawing |
| `half` | for faces of 89×109 pixels, half the size of CelebA's |
| `equal` | all plain and pyramidal networks at the same number of products |
| `photos` | random crops of photos instead of faces, for a few CPU hours |
| `runlocal` | seconds on a CPU, without any file |
"""

import ml_collections

from configs.variants import apply_variants

NETWORKS = (
    *("basic21", "basic22", "basic51", "basic52"),
    *("pyramidal51", "pyramidal51cat", "pyramidal52", "densenet"),
)
# Ours: the published widths are not known.
WIDTHS = (16, 32, 64, 128, 256, 512)
# Multiplications per pixel of one pass forward.
PRODUCTS = {
    "basic21": 5_472,
    "basic22": 19_296,
    "basic51": 12_384,
    "basic52": 40_032,
    "pyramidal51": 12_384,
    "pyramidal51cat": 17_424,
    "pyramidal52": 40_032,
}


def make_faces(damage: str, variant: str = "") -> ml_collections.ConfigDict:
    """Config for one damage.

    Args:
      damage: see `data/damage`.
      variant: any of the table above, joined by commas.
    """
    config = make_shared()
    _set_network(config, "densenet")
    data, evaluation = config.data, config.evaluation
    data.source = "zip:img_align_celeba.zip"
    data.identities = "identity_CelebA.txt"
    data.split_fractions = (0.8, 0.1, 0.1)  # of the people
    # The central 160 of 178×218 pixels are the published 64 of 71×87; four pixels more
    # for the change of size.
    data.crop, data.image_size = "center_resize:170", 68
    data.batch_size = 80
    data.damage = evaluation.damage = damage
    evaluation.fixed_damage = True
    evaluation.crop, evaluation.image_size = "center_resize:160", 64
    data.augmentation.flip = True
    data.augmentation.jitter, data.augmentation.hue = 0.05, 0.01
    data.augmentation.scale, data.augmentation.size = 0.05, 64
    return apply_variants(
        config,
        variant,
        {
            **{name: lambda c, n=name: _set_network(c, n) for name in NETWORKS},
            "as_code": _as_code,
            "as_drawn": _as_drawn,
            "half": _half,
            "equal": _equal,
            "photos": _photos,
            "runlocal": runlocal,
        },
    )


def make_shared() -> ml_collections.ConfigDict:
    """What all restoration experiments have."""
    config = ml_collections.ConfigDict()
    config.system = "restoration"
    config.seed = 0
    # Exactly one of the two is positive.
    config.num_epochs = 100.0
    config.num_steps = 0
    # Start from the parameters of another run's workdir.
    config.initialize_from = ""
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md
    # On a CPU, a device for each core: normalisation sees a part of the batch then.
    config.device_per_core = False

    config.model = ml_collections.ConfigDict()

    config.data = data = ml_collections.ConfigDict()
    data.source = ""
    # "" uses the validation and test splits of data.source.
    data.validation_source = ""
    # A file with the person on each photo, who is in one split only; "" for none.
    data.identities = ""
    data.split_fractions = (0.8, 0.1, 0.1)  # train, validation, test
    data.split_seed = 0
    data.crop = "random"
    data.image_size = 64
    data.damage = ""
    # Before the damage; see `data/host_augmentation.py`.
    data.augmentation = augmentation = ml_collections.ConfigDict()
    augmentation.flip = augmentation.turn = False
    augmentation.jitter = augmentation.hue = augmentation.scale = 0.0
    augmentation.gray_share = 0.0
    augmentation.size = 0
    data.damage_shift = 0  # see `systems/restoration/examples.py`
    data.flip = False  # after the damage; data.augmentation.flip is before it
    data.batch_size = 16
    data.cache_megabytes = 0  # of decoded photos; 0 reads them every time
    data.num_workers = 0  # reader processes; 0 reads in threads
    data.num_threads = 4
    data.prefetch = 4  # batches
    data.max_broken_share = 0.01

    config.loss = ml_collections.ConfigDict()
    config.loss.name = "mse"
    config.loss.estimation = 1.0  # coefficient of a blind restorer's estimate
    config.loss.lpips = config.loss.lpips_vgg = config.loss.dists = 0.0

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"
    optimizer.schedule = "constant"
    optimizer.learning_rate = 3e-4
    optimizer.final_learning_rate = 1e-6  # of the schedule "linear"
    optimizer.warmup_steps = 0
    optimizer.b1, optimizer.b2, optimizer.eps = 0.9, 0.999, 1e-8
    optimizer.weight_decay = 1e-4  # L2, part of the gradient
    optimizer.clip_norm = 0.0  # of the gradient; 0 does not clip
    optimizer.average_decay = 0.0  # of the averaged parameters; 0 disables averaging

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 2000
    evaluation.num_photos = 0  # of the validation photos; 0 is all
    evaluation.num_pictures = 8
    evaluation.crop = "center"
    evaluation.image_size = 64
    evaluation.batch_size = 16
    evaluation.damage = ""
    evaluation.fixed_damage = False  # positions and noise of the published program

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 3
    checkpoints.keep_best = True  # in the workdir's folder "best"
    checkpoints.best_metric = "photo_psnr"  # of the validation
    checkpoints.best_mode = "max"
    return config


def _set_network(config: ml_collections.ConfigDict, name: str) -> None:
    config.model = model = ml_collections.ConfigDict()
    model.name = name
    if name == "densenet":
        model.width, model.growth = 48, 16
        model.blocks, model.last_block = (4, 5, 7, 10, 12, 15), 4
        model.transitions, model.dropout = "as_code", 0.2
    else:
        levels = 2 if name.startswith("basic2") else 5
        model.widths = WIDTHS[: levels + 1]


def _as_code(config: ml_collections.ConfigDict) -> None:
    config.model.last_block = 5


def _as_drawn(config: ml_collections.ConfigDict) -> None:
    config.model.transitions = "as_drawn"


def _half(config: ml_collections.ConfigDict) -> None:
    config.data.crop, config.evaluation.crop = "center_resize:85", "center_resize:80"


def _equal(config: ml_collections.ConfigDict) -> None:
    """Minutes on two cores: as much as 2,000 steps of pyramidal51."""
    name = config.model.name
    if name not in PRODUCTS:
        raise ValueError(f"the variant equal goes with {', '.join(PRODUCTS)}")
    steps = round(2_000 * PRODUCTS["pyramidal51"] / PRODUCTS[name])
    config.num_epochs, config.num_steps = 0.0, steps
    config.data.batch_size = 10  # as published for small devices
    config.evaluation.every_steps = config.checkpoints.every_steps = 500


def _photos(config: ml_collections.ConfigDict) -> None:
    """For a thousand photos of about 256 pixels."""
    config.num_epochs, config.num_steps = 0.0, 10_000
    data = config.data
    data.source, data.identities = "folder:photos", ""
    data.split_fractions = (0.9, 0.1, 0.0)
    data.crop, data.image_size, data.batch_size = "random_resize:0.5", 64, 16
    data.augmentation.scale, data.augmentation.size = 0.0, 0
    data.cache_megabytes = 500
    config.evaluation.crop = "center_resize"
    config.evaluation.every_steps = config.checkpoints.every_steps = 1000


def runlocal(config: ml_collections.ConfigDict) -> None:
    """Seconds on a CPU, without any file: does everything run?"""
    config.num_epochs, config.num_steps = 0.0, 4
    config.data.source, config.data.identities = "samples", ""
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.crop = "random"
    config.evaluation.crop = "center"
    config.data.batch_size = config.evaluation.batch_size = 2
    model = config.model
    if model.name == "densenet":
        model.width, model.growth, model.blocks, model.last_block = 8, 4, (1, 1, 2), 1
    elif model.name == "dncnn":
        model.blocks = (4,)
    else:
        model.widths = tuple(max(4, width // 16) for width in model.widths)
        if "blocks" in model:
            model.blocks = (1,) * len(model.blocks)
    config.evaluation.num_pictures = 2
    config.evaluation.image_size = 64
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.log_every_steps = 1
