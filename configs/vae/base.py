"""The config that the VAE experiments share.

The experiments are `configs/vae/coco.py` and `configs/vae/food101.py`. The defaults are
the published recipe: the network of `systems/vae/model.py` with 128 latent units,
separate losses and RMSprop at 1e-3 for encoder and decoder, both learning rates
multiplied by 0.75 after every epoch, batches of 64, the centre 375² of each photo
resized to 64², a random horizontal flip.

| variant | |
|---|---|
| `beta` | the negative ELBO, Adam from 1e-3 to 1e-4 |
| `deepsim` | the DeePSiM loss and β KL, Adam at 2e-4, see docs/deepsim.md |
| `photos` | 640 steps on a thousand photos of about 256 pixels, see docs/vae.md |
| `size32`, `size128`, `size256` | other image sizes, with more or fewer stages |
| `runlocal` | seconds on a CPU, without any file |
"""

import ml_collections

from configs.deepsim import base as deepsim
from configs.variants import apply_variants


def make_config(
    train_source: str,
    validation_source: str,
    variant: str = "",
    *,
    validation_share: float = 0.1,
) -> ml_collections.ConfigDict:
    """Config of a VAE.

    Args:
      train_source: photos to train on.
      validation_source: photos to evaluate on; "" splits them off the training photos.
      variant: any of the table above, joined by commas; "" is the published recipe.
      validation_share: share of the training photos that are split off.
    """
    config = _published(train_source, validation_source, validation_share)
    apply = {
        "beta": _beta,
        "deepsim": _deepsim,
        "size32": lambda config: _resize(config, 32, (64, 128), (128, 32)),
        "size128": lambda config: _resize(
            config, 128, (64, 128, 256, 256), (256, 256, 128, 32)
        ),
        "size256": lambda config: _resize(
            config, 256, (32, 64, 128, 256, 256), (256, 256, 128, 64, 32)
        ),
        "photos": _photos,
        "runlocal": _runlocal,  # reduces the others
    }
    return apply_variants(config, variant, apply)


def _published(train_source, validation_source, share) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.system = "vae"
    config.seed = 0
    # Exactly one of the two is positive.
    config.num_epochs = 100.0
    config.num_steps = 0
    # Start from the parameters of another run's workdir.
    config.initialize_from = ""
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md

    config.model = model = ml_collections.ConfigDict()
    model.image_size = 64
    model.latent_size = 128
    model.encoder_channels = (64, 128, 256)
    model.decoder_channels = (256, 128, 32)
    model.hidden_size = 1024
    model.batch_norm_momentum = 0.1  # torch's 0.9
    # Standard deviation of p(x|z) on the scale of [-1, 1]: 1/√64, which the published
    # losses imply.
    model.decoder_std = 0.125
    model.learn_decoder_std = False

    config.data = data = ml_collections.ConfigDict()
    data.source = train_source
    # "" uses the validation and test splits of data.source.
    data.validation_source = validation_source
    data.split_fractions = (1.0, 0.0, 0.0)  # train, validation, test
    if not validation_source:
        data.split_fractions = (1.0 - share, share, 0.0)
    data.split_seed = 0
    data.crop = "center_resize:375"
    data.image_size = model.get_ref("image_size")
    data.flip = True
    data.batch_size = 64
    data.num_workers = 0  # reader processes; 0 reads in threads
    data.num_threads = 4
    data.prefetch = 4  # batches
    data.max_broken_share = 0.01

    config.loss = loss = ml_collections.ConfigDict()
    loss.name = "published"
    loss.lambda_mse = 1e-6
    loss.mean_kl = True

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "rmsprop"
    optimizer.schedule = "exponential"
    optimizer.learning_rate = 1e-3
    optimizer.decay_rate = 0.75
    optimizer.decay_epochs = 1.0
    optimizer.warmup_steps = 0
    optimizer.decay = 0.9
    optimizer.eps = 1e-8
    optimizer.average_decay = 0.0  # of the averaged parameters; 0 disables averaging
    # One optimizer per network; a field here overrides that of the section.
    optimizer.parts = ml_collections.ConfigDict()
    for part in ("encoder", "decoder"):
        optimizer.parts[part] = ml_collections.ConfigDict()
        optimizer.parts[part].learning_rate = optimizer.get_oneway_ref("learning_rate")

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 2000
    evaluation.num_photos = 0  # of the validation photos; 0 is all
    evaluation.num_pictures = 6
    evaluation.crop = "center_resize:375"
    evaluation.image_size = model.get_ref("image_size")
    evaluation.batch_size = 64

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 3
    checkpoints.keep_best = True  # in the workdir's folder "best"
    checkpoints.best_metric = "encoder_loss"  # of the validation
    checkpoints.best_mode = "min"
    return config


def _beta(config: ml_collections.ConfigDict) -> None:
    """The negative ELBO with Adam and a linear decay."""
    config.loss = ml_collections.ConfigDict()
    config.loss.name = "beta"
    config.loss.beta = 1.0
    config.loss.kl_warmup_steps = 0
    config.loss.free_bits = 0.0
    config.checkpoints.best_metric = "loss"
    optimizer = config.optimizer
    optimizer.name = "adam"
    optimizer.schedule = "linear"
    optimizer.learning_rate = 1e-3
    optimizer.final_learning_rate = 1e-4
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    del optimizer.parts, optimizer.decay, optimizer.decay_rate, optimizer.decay_epochs


def _deepsim(config: ml_collections.ConfigDict) -> None:
    """DeePSiM instead of the likelihood: a discriminator is a third part."""
    deepsim.add_loss(config, ("encoder", "decoder", "discriminator"))
    config.loss.name = "deepsim"
    # With the image term alone, an ELBO with a standard deviation of 0.27, that of the
    # errors of the other losses.
    config.loss.beta = 3e-4
    config.checkpoints.keep_best = False


def _photos(config: ml_collections.ConfigDict) -> None:
    """For a thousand photos of about 256 pixels on two CPU cores; see docs/vae.md."""
    config.num_epochs, config.num_steps = 0.0, 640
    config.data.validation_source = ""
    config.data.split_fractions = (0.9, 0.1, 0.0)
    # Random squares, because there are few photos, and because the centre 375² of a
    # smaller photo would have a black frame.
    config.data.crop = "random_resize:0.6"
    config.evaluation.crop = "center_resize"
    config.evaluation.every_steps = 80
    config.checkpoints.every_steps = 80
    config.log_every_steps = 10
    config.model.batch_norm_momentum = 0.9
    if config.loss.name == "deepsim":
        deepsim.few_photos(config)
    if config.optimizer.schedule == "exponential":
        config.optimizer.decay_epochs = 8.0  # an epoch of COCO has 2,484 steps


def _resize(config, image_size, encoder_channels, decoder_channels) -> None:
    config.model.image_size = image_size
    config.model.encoder_channels = encoder_channels
    config.model.decoder_channels = decoder_channels


def _runlocal(config: ml_collections.ConfigDict) -> None:
    """Seconds on a CPU, without any file: does everything run?"""
    config.num_epochs, config.num_steps = 0.0, 4
    config.optimizer.warmup_steps = 0
    config.data.source = "samples"
    config.data.validation_source = ""
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.batch_size = config.evaluation.batch_size = 2
    config.model.encoder_channels = tuple(
        channels // 8 for channels in config.model.encoder_channels
    )
    config.model.decoder_channels = tuple(
        channels // 8 for channels in config.model.decoder_channels
    )
    if config.loss.name == "deepsim":
        config.loss.discriminator_width = 0.125
        config.weights.alexnet = config.weights.vgg19 = "random"
    config.model.hidden_size, config.model.latent_size = 32, 8
    # Of batches of two the running values of one say nothing about other photos.
    config.model.batch_norm_momentum = 0.9
    config.evaluation.num_pictures = 2
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.log_every_steps = 1
