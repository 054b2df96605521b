"""The config that the colourisation experiments share."""

import ml_collections

from configs.variants import apply_variants


def make_config(source: str, variant: str = "") -> ml_collections.ConfigDict:
    """Config of a colourisation network.

    Args:
      source: photos to train on.
      variant: "encoder_decoder", "vgg16", "pyramid", "best" and "runlocal", joined by
        commas; the default network is "vgg19".
    """
    config = ml_collections.ConfigDict()
    config.system = "colorization"
    config.seed = 0
    config.num_epochs, config.num_steps = 0.0, 10_000
    config.initialize_from = ""
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md

    config.model = model = ml_collections.ConfigDict()
    model.name = "vgg19"
    model.widths, model.blocks = (112, 144, 176), (2, 2, 2)
    model.dropout = 0.5  # of channels of VGG19's features
    # Of the encoder; see `systems/colorization/objective.py`.
    model.weights, model.vgg_preprocessing = "", False

    config.loss = loss = ml_collections.ConfigDict()
    loss.name = "bins"
    # How distributions are read, see `systems/colorization/bins.decode`.
    loss.temperature, loss.unweight = 0.38, 0.4

    config.preparation = preparation = ml_collections.ConfigDict()
    preparation.num_photos, preparation.batch_size = 512, 32
    preparation.image_size = 128

    config.data = data = ml_collections.ConfigDict()
    data.source = source
    data.validation_source = ""
    data.split_fractions = (0.95, 0.05, 0.0)
    data.split_seed = 0
    data.crop, data.image_size = "random_resize:0.3", 128
    data.flip = True
    data.batch_size = 16
    data.cache_megabytes = 500
    data.num_workers = 0
    data.num_threads = 2
    data.prefetch = 4
    data.max_broken_share = 0.01
    data.stages = ()

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"
    optimizer.schedule = "linear"
    optimizer.learning_rate, optimizer.final_learning_rate = 1e-3, 1e-5
    optimizer.warmup_steps = 200
    optimizer.b1, optimizer.b2, optimizer.eps = 0.9, 0.999, 1e-8
    optimizer.clip_norm = 1.0
    optimizer.average_decay = 0.999

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 1000
    evaluation.num_photos = 64
    evaluation.num_pictures = 6
    evaluation.crop, evaluation.image_size = "center_resize", 192
    evaluation.batch_size = 4

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 2
    checkpoints.keep_best = True
    checkpoints.best_metric = "loss"
    checkpoints.best_mode = "min"

    apply = {
        "encoder_decoder": lambda c: _published(c, "encoder_decoder"),
        "vgg16": lambda c: _published(c, "vgg16"),
        "pyramid": _pyramid,
        "best": _best,
        "runlocal": _runlocal,
    }
    return apply_variants(config, variant, apply)


def _published(config: ml_collections.ConfigDict, name: str) -> None:
    config.model.name, config.loss.name = name, "mse"


def _pyramid(config: ml_collections.ConfigDict) -> None:
    config.model.name = "pyramid"
    config.model.widths, config.model.blocks = (32, 64, 112, 168), (1, 1, 2, 3)


def _best(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 2000
    config.evaluation.every_steps = config.checkpoints.every_steps = 500


def _runlocal(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 4
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.batch_size = config.evaluation.batch_size = 2
    config.data.image_size = config.evaluation.image_size = 64
    config.preparation.num_photos = config.preparation.batch_size = 4
    config.preparation.image_size = 64
    if config.model.name == "pyramid":
        config.model.widths, config.model.blocks = (8, 8, 8, 16), (1, 1, 1, 1)
    else:
        config.model.widths, config.model.blocks = (8, 8, 16), (1, 1, 1)
    config.model.weights = "random"
    config.optimizer.warmup_steps = 0
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.evaluation.num_pictures = 2
    config.log_every_steps = 1
