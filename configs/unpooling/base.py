"""The config that the five VGG19 unpooling pairs share.

The experiments are `block1.py` … `block5.py`. The defaults are the published recipe:
four losses with coefficients 10, 1, 1000 and 0.1, Adam with a linear decay from 1e-3 to
2e-4, a random horizontal flip, 90/9/1 % of COCO's 123,403 unlabeled photos. Batch size,
crop and warm-up are not published; the values below are ours.
"""

import ml_collections

VARIANTS = ("best", "gpu", "quickstart", "runlocal")


def make_config(block: int, variant: str = "") -> ml_collections.ConfigDict:
    """Config of the pair of a block.

    Args:
      block: 1 to 5.
      variant: any of `VARIANTS`, joined by commas; "" is the published recipe.
    """
    config = _published(block)
    apply = {
        "best": _best,
        "gpu": _gpu,
        "quickstart": _quickstart,
        "runlocal": _runlocal,
    }
    for name in filter(None, variant.split(",")):
        if name not in apply:
            raise ValueError(
                f"the variant must be one of {', '.join(VARIANTS)}, got {name!r}"
            )
        apply[name](config)
    return config


def _published(block: int) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.system = "unpooling"
    config.seed = 0
    # Exactly one of the two is positive. Published: 30 to 100 epochs.
    config.num_epochs = 30.0
    config.num_steps = 0
    # Start from the decoder parameters of another run's workdir.
    config.initialize_from = ""
    # Start from the layers that this decoder shares with another block's: workdir, file
    # or released name of that block.
    config.initialize_shared_from = ""
    # Of the kernels: he, orthogonal, encoder, or closed_form: the layers of blocks 4
    # and 5 that the decoder of initialize_shared_from lacks, by least squares.
    config.initialization = "he"
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md

    # Activations and products may be bfloat16; parameters, losses and optimizer always
    # are float32.
    config.compute_dtype = "float32"
    config.convolution = "auto"  # or an implementation of ops.convolution.convolve
    # Without an accelerator, each CPU core is a device, as far as the number divides
    # the batch sizes.
    config.device_per_core = True
    # "blocks" keeps only the input of each block for the gradient and recomputes the
    # rest; docs/performance.md has the time.
    config.remat = "none"

    config.data = data = ml_collections.ConfigDict()
    # folder:PATH, zip:PATH, tfds:NAME[:SPLIT] or samples. COCO's unlabeled photos are
    # read from the zip file, without unpacking it.
    data.source = "zip:unlabeled2017.zip"
    data.validation_source = ""  # other photos instead of the validation split
    data.split_fractions = (0.9, 0.09, 0.01)  # train, validation, test
    data.split_seed = 0
    data.crop = "center_resize"  # or random
    data.image_size = 256
    # (share of the run, image_size, batch_size) of later stages; see training/stages.py
    data.stages = ()
    data.flip = True
    data.batch_size = 16
    data.num_workers = 0  # reader processes; 0 reads in threads
    data.num_threads = 4
    data.prefetch = 4  # batches
    data.cache_megabytes = 0  # for decoded photos that are kept in memory
    data.keep_on_device = False  # decoded photos, for random crops alone
    data.max_broken_share = 0.01

    # Random crops of training photos that are read before the first step, for the
    # statistics of the decoder's input and the closed form.
    config.preparation = preparation = ml_collections.ConfigDict()
    preparation.num_photos = 160
    preparation.image_size = 256
    preparation.batch_size = 8

    config.encoder = encoder = ml_collections.ConfigDict()
    encoder.block = block
    # A file, "random", or "" for the environment variable VGG19_WEIGHTS, else the
    # cache, else a download.
    encoder.weights = ""
    encoder.random_if_unavailable = False
    encoder.random_seed = 0

    config.decoder = decoder = ml_collections.ConfigDict()
    decoder.normalize_features = False
    decoder.output_scale = 1.0
    decoder.initial_output = 0.0
    decoder.upsampling = "unpool"  # or, without switches, nearest or transposed

    config.loss = loss = ml_collections.ConfigDict()
    loss.l1 = 10.0
    loss.l2 = 1.0
    loss.ms_ssim = 1000.0
    loss.perceptual = 0.1
    # Not published; about 1e-2 to 1, so that coefficients of 10 to 1000 fit the others.
    loss.lpips = 0.0  # AlexNet
    loss.lpips_vgg = 0.0
    loss.dists = 0.0

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"  # or muon
    optimizer.schedule = "linear"
    optimizer.learning_rate = 1e-3
    optimizer.final_learning_rate = 2e-4
    # Ours, not published: with 1e-3 from the first step the decoder of block 5 diverged
    # at step 3 and its ReLUs died; with a warm-up its loss falls from the start.
    optimizer.warmup_steps = 500
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    optimizer.eps = 1e-8
    optimizer.momentum = 0.95  # of "muon" only
    optimizer.average_decay = 0.0  # of the averaged parameters; 0 disables averaging

    _set_reports(config)
    return config


def _set_reports(config: ml_collections.ConfigDict) -> None:
    """Intervals and sizes of validations and checkpoints."""
    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 2000
    evaluation.num_photos = 512  # of the validation split; 0 is all
    evaluation.num_pictures = 6
    evaluation.crop = "center_resize"
    evaluation.image_size = 256
    evaluation.batch_size = 16

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 3
    checkpoints.keep_best = True  # in the workdir's folder "best"
    checkpoints.best_metric = "loss"  # of the validation
    checkpoints.best_mode = "min"


# The recipe `:best` by block. The rate decays to almost zero, so a run that is stopped
# halfway is worse than a shorter one that was finished. The decoders of blocks 4 and 5
# start from layers fitted in closed form, which higher rates would spoil; their last
# steps see 256² crops, because a 96² crop of 6² features has no middle.
_BEST_LEARNING_RATES = {1: 4e-3, 2: 2e-3, 3: 2e-3, 4: 1e-3, 5: 1e-3}
_BEST_STEPS = {1: 8000, 2: 4000, 3: 2500, 4: 4000, 5: 2200}
_BEST_CROPS = {1: (96, 8), 2: (96, 8), 3: (96, 8), 4: (96, 8), 5: (128, 6)}
_FITTED_BLOCKS = (4, 5)


def _best(config: ml_collections.ConfigDict) -> None:
    """Low L1 with few photos and little compute; see docs/training_notes.md."""
    block = config.encoder.block
    config.num_epochs, config.num_steps = 0.0, _BEST_STEPS[block]
    if block > 1:
        config.initialize_shared_from = f"vgg19-block{block - 1}"
    if block in _FITTED_BLOCKS:
        config.initialization = "closed_form"
        config.data.stages = ((0.85, 256, 2),)
    config.decoder.normalize_features = True
    config.decoder.output_scale = 64.0
    config.decoder.initial_output = 114.0  # mean grey level of ImageNet photos
    config.loss.l2 = 0.0
    config.loss.ms_ssim = 0.0
    config.loss.perceptual = 0.0
    config.data.crop = "random"
    config.data.image_size, config.data.batch_size = _BEST_CROPS[block]
    config.data.cache_megabytes = 1000
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = _BEST_LEARNING_RATES[block]
    config.optimizer.final_learning_rate = 1e-5
    config.optimizer.average_decay = 0.99
    config.optimizer.warmup_steps = 100


def _gpu(config: ml_collections.ConfigDict) -> None:
    """After `best`: more and larger crops per step and products in bfloat16, for GPUs.

    Not run on a GPU yet. The learning rates are those of the small batches.
    """
    config.num_epochs, config.num_steps = 0.0, 20000
    config.compute_dtype = "bfloat16"
    config.data.image_size = 128
    config.data.batch_size = 64
    config.data.stages = tuple(
        (share, size, 16) for share, size, _ in config.data.stages
    )
    config.data.keep_on_device = True
    config.data.num_threads = 16
    config.evaluation.batch_size = 64


def _runlocal(config: ml_collections.ConfigDict) -> None:
    """Seconds on a CPU, without files and network."""
    config.num_epochs, config.num_steps = 0.0, 4
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    # The smallest size that MS-SSIM accepts and that is a multiple of 16, for block 5.
    config.data.image_size = config.evaluation.image_size = 176
    config.data.batch_size = config.evaluation.batch_size = 2
    config.data.stages = ()
    config.initialization = "he"
    config.evaluation.num_photos = config.evaluation.num_pictures = 2
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.log_every_steps = 1
    config.preparation.num_photos = config.preparation.batch_size = 2
    config.preparation.image_size = 176
    config.convolution = "xla"  # compiles much faster
    config.initialize_shared_from = ""
    config.encoder.weights = "random"
    config.optimizer.warmup_steps = 0
    config.optimizer.learning_rate = config.optimizer.final_learning_rate = 2e-4


def _quickstart(config: ml_collections.ConfigDict) -> None:
    """A few minutes on two CPU cores, on the sample photos of scikit-image."""
    _best(config)
    config.initialization, config.initialize_shared_from = "he", ""
    config.data.stages = ()
    config.num_epochs, config.num_steps = 0.0, 500
    config.preparation.num_photos = 32
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.evaluation.batch_size = 4
    config.evaluation.every_steps = 250
    config.checkpoints.every_steps = 250
    config.encoder.random_if_unavailable = True
