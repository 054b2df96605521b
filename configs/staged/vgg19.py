"""A decoder of block4_conv2 in five stages for style transfer: `vgg19-style`.

Each stage is trained on the encoder's own features; see
`vgg_unpool_jax/systems/staged`. 5,865,027 parameters.

The released file has 800 steps (`--config.num_steps=800`), 0.6 hours of two cores of a
shared AMD EPYC server, and 8-bit kernels. Errors of the stages on true features, 15
validation photos, after 200, 400 and 800 steps: 0.631, 0.601, 0.579 (sum of four, in
units of the channels' RMS), image 2.93, 2.89, 2.87 grey levels. In a row, without the
exact residual, they rebuild COCO128's centre crops of 256² with an L1 of 17.0; with it
the error is 0.

| variant | |
|---|---|
| `plain` | without changed features |
| `runlocal` | seconds on a CPU, without any file |

    ./launch.sh train --config=staged/vgg19 --workdir=runs/style \
        --config.data.source=folder:PHOTOS
"""

import ml_collections

from configs.variants import apply_variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.system = "staged"
    config.seed = 0
    config.num_epochs, config.num_steps = 0.0, 2000
    config.initialize_from = ""
    # A pair of block 1, whose layers are those of the last stage.
    config.initialize_shared_from = "vgg19-block1"
    config.initialization = "closed_form"  # of the other stages; or he
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md
    config.compute_dtype = "float32"
    config.convolution = "auto"
    config.device_per_core = True
    # Photos whose statistics the features of others may get.
    config.bank_size = 96

    config.loss = loss = ml_collections.ConfigDict()
    loss.image, loss.features, loss.reencoding = 0.1, 1.0, 0.5

    config.encoder = encoder = ml_collections.ConfigDict()
    encoder.block = 4
    encoder.weights = ""
    encoder.random_if_unavailable = False
    encoder.random_seed = 0

    config.decoder = decoder = ml_collections.ConfigDict()
    decoder.output_scale, decoder.initial_output = 64.0, 114.0

    config.preparation = preparation = ml_collections.ConfigDict()
    preparation.num_photos, preparation.image_size = 96, 256
    preparation.batch_size = 8

    config.data = data = ml_collections.ConfigDict()
    data.source = "folder:photos"
    data.validation_source = ""
    data.split_fractions = (0.97, 0.03, 0.0)
    data.split_seed = 0
    data.crop, data.image_size = "random", 128
    data.flip = True
    data.batch_size = 4
    data.cache_megabytes = 500
    data.num_workers = 0
    data.num_threads = 2
    data.prefetch = 4
    data.max_broken_share = 0.01

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "muon"
    optimizer.schedule = "linear"
    optimizer.learning_rate, optimizer.final_learning_rate = 4e-4, 1e-5
    optimizer.warmup_steps = 50
    optimizer.b1, optimizer.b2, optimizer.eps = 0.9, 0.999, 1e-8
    optimizer.momentum = 0.95
    optimizer.clip_norm = 0.0
    optimizer.average_decay = 0.99

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 500
    evaluation.num_photos = 16  # of the validation photos; 0 is all
    evaluation.num_pictures = 4
    evaluation.crop, evaluation.image_size = "center", 256
    evaluation.batch_size = 4

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 250
    checkpoints.max_to_keep = 2
    checkpoints.keep_best = True
    checkpoints.best_metric = "loss"
    checkpoints.best_mode = "min"
    return apply_variants(config, variant, {"plain": _plain, "runlocal": _runlocal})


def _plain(config: ml_collections.ConfigDict) -> None:
    config.loss.reencoding = 0.0


def _runlocal(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 4
    config.initialization, config.initialize_shared_from = "he", ""
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.batch_size = config.evaluation.batch_size = 2
    config.data.image_size = config.evaluation.image_size = 32
    config.preparation.num_photos = config.preparation.batch_size = 2
    config.preparation.image_size, config.bank_size = 32, 2
    config.encoder.weights = "random"
    config.convolution = "xla"  # compiles much faster
    config.optimizer.warmup_steps = 0
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.evaluation.num_photos = config.evaluation.num_pictures = 2
    config.log_every_steps = 1
