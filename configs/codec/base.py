"""The config that the learned codecs share; see faces.py and photos.py beside it."""

import ml_collections

VARIANTS = ("runlocal",)


def make_config(source: str, variant: str = "") -> ml_collections.ConfigDict:
    """Config of a learned codec.

    Args:
      source: photos to train on.
      variant: "" or "runlocal", seconds on a CPU without any file.
    """
    config = ml_collections.ConfigDict()
    config.system = "codec"
    config.seed = 0
    config.num_epochs = 0.0
    config.num_steps = 20_000
    config.initialize_from = ""
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md

    config.model = model = ml_collections.ConfigDict()
    model.groups = (8, 16, 24, 48)
    model.checkerboards = 2
    model.widths = (64, 128)
    model.analysis_depths = (1, 2)
    model.synthesis_depths = (1, 2)
    model.hyper_channels = 16
    model.hyper_width = 64
    model.predictor_features = 48
    model.lapped = False
    model.linear_unit = 1
    model.log_context = False

    config.loss = loss = ml_collections.ConfigDict()
    # Equal ratios of 2.2.
    loss.lambdas = (0.001, 0.0022, 0.0048, 0.0106, 0.0234, 0.0515, 0.113, 0.25)
    loss.rounding_from = 0.0
    # Added to the squared error, in squared grey levels; 0 is without.
    loss.lpips = loss.lpips_vgg = loss.dists = 0.0

    config.preparation = preparation = ml_collections.ConfigDict()
    preparation.num_photos = 512
    preparation.image_size = 64
    preparation.batch_size = 64

    config.data = data = ml_collections.ConfigDict()
    data.source = source
    data.validation_source = ""
    data.split_fractions = (0.95, 0.05, 0.0)
    data.split_seed = 0
    data.crop = "random_resize:0.6"
    data.image_size = 64
    data.flip = True
    data.batch_size = 16
    data.cache_megabytes = 2000
    data.num_workers = 0
    data.num_threads = 2
    data.prefetch = 4
    data.max_broken_share = 0.01
    data.stages = ()

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"
    optimizer.schedule = "linear"
    optimizer.learning_rate = 1e-3
    optimizer.final_learning_rate = 1e-5
    optimizer.warmup_steps = 200
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    optimizer.eps = 1e-8
    optimizer.clip_norm = 0.0
    optimizer.average_decay = 0.999

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 2000
    evaluation.num_photos = 128
    evaluation.num_pictures = 6
    evaluation.crop = "center_resize"
    evaluation.image_size = 64
    evaluation.batch_size = 8

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 2
    checkpoints.keep_best = True
    checkpoints.best_metric = "loss"
    checkpoints.best_mode = "min"
    if variant == "runlocal":
        _runlocal(config)
    elif variant:
        raise ValueError(f"the variant must be '' or 'runlocal', got {variant!r}")
    return config


def _runlocal(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 4
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.batch_size = config.evaluation.batch_size = 2
    config.data.image_size = config.evaluation.image_size = 32
    config.data.stages = ()
    config.preparation.num_photos = config.preparation.batch_size = 4
    config.preparation.image_size = 32
    config.model.groups = (4, 8)
    config.model.checkerboards = 1
    config.model.widths = (8, 16)
    config.model.analysis_depths = config.model.synthesis_depths = (0, 1)
    config.model.hyper_channels, config.model.hyper_width = 4, 8
    config.model.predictor_features = 8
    config.loss.lambdas = (0.01, 0.1)
    config.optimizer.warmup_steps = 0
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.evaluation.num_pictures = 2
    config.log_every_steps = 1
