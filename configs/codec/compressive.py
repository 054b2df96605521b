"""The config that the seven experiments of the compressive autoencoder share.

As published: random crops of photos, Adam with a constant rate, mean squared error on
[0, 1], no augmentation; stage 1 without quantiser, and from it stage 2, which trains
the decoder behind a quantiser of 3 or 6 bits.

| variant | |
|---|---|
| `photos` | rates and numbers of steps of our own, for an hour of two CPU cores |
| `paper` | the form of the paper, whose clipping has the identity's gradient |
| `straight_through` | both halves behind the quantiser from the start, its gradient 1 |
| `noise` | the same with uniform noise in place of rounding |
| `seed_batch_norm` | in stage 2 the encoder's normalisation moves as published |
| `runlocal` | seconds on a CPU, without any file |
"""

import ml_collections

from configs.variants import apply_variants


def make_config(
    variant: str,
    *,
    channels: int,
    crop: int,
    batch_size: int,
    learning_rate: float,
    epochs: float,
    bits: int = 0,
    stage1: str = "",
) -> ml_collections.ConfigDict:
    """Config of one experiment.

    Args:
      variant: any of the table above, joined by commas.
      channels: of the latents.
      crop: side of the training crops in pixels.
      batch_size: crops in a step.
      learning_rate: of Adam.
      epochs: as published.
      bits: of the quantiser; 0 for none, in stage 1.
      stage1: workdir that stage 2 starts from.
    """
    config = ml_collections.ConfigDict()
    config.system = "compressive"
    config.seed = 0
    # Exactly one of the two is positive.
    config.num_epochs = float(epochs)
    config.num_steps = 0
    config.initialize_from = stage1
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md

    config.model = model = ml_collections.ConfigDict()
    model.channels, model.form, model.clip = channels, "code", "hard"

    config.quantizer = quantizer = ml_collections.ConfigDict()
    quantizer.bits, quantizer.gradient = bits, "none"

    config.loss = ml_collections.ConfigDict()
    config.loss.seed_batch_norm = False

    config.data = data = ml_collections.ConfigDict()
    data.source = "folder:faces"
    data.validation_source = ""
    data.split_fractions = (0.91, 0.09, 0.0)
    data.split_seed = 0
    data.crop = "random"
    data.image_size = crop
    data.flip = False
    data.batch_size = batch_size
    data.cache_megabytes = 0
    data.num_workers = 0
    data.num_threads = 2
    data.prefetch = 4
    data.max_broken_share = 0.01

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"
    optimizer.schedule = "constant"
    optimizer.learning_rate = learning_rate
    optimizer.final_learning_rate = 1e-6  # of the schedule "linear"
    optimizer.warmup_steps = 0
    optimizer.b1, optimizer.b2, optimizer.eps = 0.9, 0.999, 1e-8
    optimizer.clip_norm = 0.0
    optimizer.average_decay = 0.0
    if stage1:
        optimizer.parts = ml_collections.ConfigDict()
        optimizer.parts.encoder = ml_collections.ConfigDict({"name": "frozen"})
        optimizer.parts.decoder = ml_collections.ConfigDict()

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 2000
    evaluation.num_photos = 128
    evaluation.num_pictures = 6
    evaluation.crop, evaluation.image_size = "center", crop
    evaluation.batch_size = 8

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 2
    checkpoints.keep_best = True
    checkpoints.best_metric = "psnr_quantized"
    checkpoints.best_mode = "max"

    apply = {
        "photos": _photos,
        "paper": _paper,
        "straight_through": lambda c: _from_the_start(c, "identity"),
        "noise": lambda c: _from_the_start(c, "noise"),
        "seed_batch_norm": _seed_batch_norm,
        "runlocal": _runlocal,
    }
    return apply_variants(config, variant, apply)


def _photos(config: ml_collections.ConfigDict) -> None:
    """For a thousand photos of about 256 pixels."""
    config.num_epochs, config.num_steps = 0.0, 2400
    data, optimizer = config.data, config.optimizer
    data.source = "folder:photos"
    data.crop, data.flip, data.cache_megabytes = "random_resize:0.5", True, 2000
    data.image_size, data.batch_size = 96, 8
    config.evaluation.crop, config.evaluation.image_size = "center_resize", 128
    # After 200 steps of faces (LFW) the squared error is 0.011, and 0.017 at 1e-3.
    optimizer.schedule, optimizer.learning_rate = "linear", 2e-4
    optimizer.warmup_steps, optimizer.final_learning_rate = 50, 1e-5
    if config.initialize_from:
        config.num_steps = 1200
    config.evaluation.every_steps = config.checkpoints.every_steps = 400


def _paper(config: ml_collections.ConfigDict) -> None:
    config.model.form, config.model.clip = "paper", "identity"
    if config.num_steps:
        # As above: 0.004.
        rate = 2e-4 if config.initialize_from else 1e-3
        config.optimizer.learning_rate, config.optimizer.clip_norm = rate, 0.5


def _from_the_start(config: ml_collections.ConfigDict, gradient: str) -> None:
    if not config.quantizer.bits:
        raise ValueError(
            "straight_through and noise are variants of the experiments with a "
            "quantiser: 3, 5 and 7"
        )
    config.quantizer.gradient = gradient
    if config.initialize_from:
        # As many steps as both stages have.
        config.initialize_from = ""
        del config.optimizer.parts
        if config.num_steps:
            config.num_steps = 3600
            if config.model.form == "paper":
                config.optimizer.learning_rate = 1e-3


def _seed_batch_norm(config: ml_collections.ConfigDict) -> None:
    config.loss.seed_batch_norm = True


def _runlocal(config: ml_collections.ConfigDict) -> None:
    config.num_epochs, config.num_steps = 0.0, 4
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.crop, config.evaluation.crop = "random", "center"
    config.data.batch_size = config.evaluation.batch_size = 2
    config.data.image_size = config.evaluation.image_size = 32
    config.model.channels = 4
    config.optimizer.warmup_steps = 0
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.evaluation.num_pictures = 2
    config.log_every_steps = 1
