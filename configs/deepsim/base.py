"""The configs that the DeePSiM experiments share.

The defaults are the published recipe: Adam at 2e-4, halved by periods, weight decay
4e-4 (here of a loss that is divided by 100), batches of 64, the coefficients of
`systems/deepsim/loss.py`, AlexNet's conv5 as comparator. Published, but not here:
CaffeNet (ours is torchvision's AlexNet), 300,000 steps before the first halving.

| variant | |
|---|---|
| `squared_error`, `l1` | image terms alone |
| `feature` | without adversarial term: artefacts of high frequency |
| `no_image` | without image term, which stabilises the training |
| `half` | half the channels of the generator: a small release |
| `size128` | crops of 128 pixels |
| `photos` | for a thousand photos of about 256 pixels, on two CPU cores |
| `runlocal` | seconds on a CPU, without any file |
"""

import ml_collections

from configs.variants import apply_variants

LOSSES = ("squared_error", "l1", "feature", "no_image")


def make_config(
    network: str, layer: str, source: str, image_size: int, num_steps: int, variant: str
) -> ml_collections.ConfigDict:
    """Config of a generator.

    Args:
      network: "autoencoder", "alexnet" or "vgg19".
      layer: of the network that is inverted; "" for an autoencoder.
      source: training photos.
      image_size: side of the crops in pixels.
      num_steps: length of the training.
      variant: any of the table above, joined by commas.
    """
    config = _published(network, layer, source, image_size, num_steps)
    apply = {
        "squared_error": lambda c: _without(c, "feature", "adversarial"),
        "l1": _l1,
        "feature": lambda c: _without(c, "adversarial"),
        "no_image": lambda c: _without(c, "image"),
        "half": lambda c: c.model.update(width=0.5),
        "size128": _size128,
        "photos": _photos,
        "runlocal": _runlocal,
    }
    apply_variants(config, variant, apply)
    if not config.loss.adversarial:
        del config.optimizer.parts
    return config


def _published(network, layer, source, image_size, num_steps):
    config = ml_collections.ConfigDict()
    config.system = "deepsim"
    config.seed = 0
    # Exactly one of the two is positive.
    config.num_epochs = 0.0
    config.num_steps = num_steps
    # Start from the parameters of another run's workdir.
    config.initialize_from = ""
    config.log_every_steps = 50
    config.parallelism = "pmap"  # or jit; see docs/distributed.md
    # On a CPU, a device for each core.
    config.device_per_core = True

    config.model = model = ml_collections.ConfigDict()
    model.network, model.layer = network, layer
    model.width = 1.0  # factor of the generator's channels
    model.published = False  # the generator of AlexNet's pool5 at 227 pixels

    config.data = data = ml_collections.ConfigDict()
    data.source = source
    # "" uses the validation and test splits of data.source.
    data.validation_source = ""
    data.split_fractions = (0.95, 0.05, 0.0)  # train, validation, test
    data.split_seed = 0
    data.crop = "random"
    data.image_size = image_size
    data.flip = True
    data.batch_size = 64
    data.cache_megabytes = 0  # of decoded photos; 0 reads them every time
    data.num_workers = 0  # reader processes; 0 reads in threads
    data.num_threads = 4
    data.prefetch = 4  # batches
    data.max_broken_share = 0.01

    # Photos for the scales of the features that are inverted.
    config.preparation = preparation = ml_collections.ConfigDict()
    preparation.num_photos, preparation.batch_size = 512, 32

    add_loss(config, ("generator", "discriminator"))

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 2000
    evaluation.num_photos = 256  # of the validation photos; 0 is all
    evaluation.num_pictures = 8
    evaluation.crop = "center_resize"
    evaluation.image_size = image_size
    evaluation.batch_size = 16

    config.checkpoints = checkpoints = ml_collections.ConfigDict()
    checkpoints.every_steps = 1000
    checkpoints.max_to_keep = 2
    checkpoints.keep_best = False  # an adversarial loss does not say what is best
    return config


def add_loss(config: ml_collections.ConfigDict, parts: tuple[str, ...]) -> None:
    """Set the sections comparator, weights, loss and optimizer.

    Args:
      config: to change.
      parts: of the model, each with its own optimizer.
    """
    config.comparator = comparator = ml_collections.ConfigDict()
    comparator.network, comparator.layer = "alexnet", "conv5"
    comparator.shift = 1  # random positions that it sees images at; 1 as published

    # Weight files; "" looks for one, "random" draws weights, for tests.
    config.weights = ml_collections.ConfigDict()
    config.weights.alexnet = config.weights.vgg19 = ""

    config.loss = loss = ml_collections.ConfigDict()
    loss.image = 1.55e-3  # of the mean squared difference in grey levels²
    loss.l1 = 0.0  # of the mean absolute difference in grey levels
    loss.feature = 4.0  # of the relative squared difference of features
    loss.adversarial = 1.0
    loss.discriminator_width = 1.0
    # The discriminator rests below the first and returns above the second ratio; the
    # generator rests above the third.
    loss.pause_off, loss.pause_on, loss.pause_generator_off = 0.1, 0.5, 10.0

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"
    optimizer.schedule = "exponential"
    optimizer.learning_rate = 2e-4
    optimizer.decay_rate, optimizer.decay_epochs = 0.5, 10.0
    optimizer.warmup_steps = 0
    optimizer.b1, optimizer.b2, optimizer.eps = 0.9, 0.999, 1e-8
    optimizer.weight_decay = 4e-6  # L2, part of the gradient
    optimizer.average_decay = 0.0  # of the averaged parameters; 0 disables averaging
    optimizer.parts = ml_collections.ConfigDict()
    for part in parts:
        optimizer.parts[part] = ml_collections.ConfigDict()
        optimizer.parts[part].learning_rate = optimizer.get_oneway_ref("learning_rate")


def few_photos(config: ml_collections.ConfigDict) -> None:
    """For some CPU hours: larger steps of the generator, a small discriminator.

    The comparator, which has a stride of 4, sees all positions of its grid.
    """
    config.comparator.shift = 4
    optimizer = config.optimizer
    optimizer.schedule, optimizer.final_learning_rate = "linear", 1e-5
    optimizer.learning_rate, optimizer.warmup_steps = 1e-3, 100
    optimizer.parts.discriminator.learning_rate = 2e-4
    del optimizer.decay_rate, optimizer.decay_epochs
    optimizer.weight_decay = 0.0
    config.loss.discriminator_width = 0.5


def _without(config: ml_collections.ConfigDict, *terms: str) -> None:
    for term in terms:
        config.loss[term] = 0.0


def _l1(config: ml_collections.ConfigDict) -> None:
    _without(config, "image", "feature", "adversarial")
    config.loss.l1 = 0.1


def _size128(config: ml_collections.ConfigDict) -> None:
    config.data.image_size = config.evaluation.image_size = 128


def _photos(config: ml_collections.ConfigDict) -> None:
    config.num_steps = 20_000
    data = config.data
    data.source, data.split_fractions = "folder:photos", (0.9, 0.1, 0.0)
    data.crop, data.batch_size = "random_resize:0.5", 16
    if config.model.network != "autoencoder" and data.image_size > 128:
        data.image_size = config.evaluation.image_size = 64
    data.cache_megabytes = 500
    few_photos(config)
    config.evaluation.num_photos = 64
    config.evaluation.every_steps = config.checkpoints.every_steps = 1000


def _runlocal(config: ml_collections.ConfigDict) -> None:
    config.num_steps, config.optimizer.warmup_steps = 4, 0
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.data.crop, config.evaluation.crop = "random", "center"
    config.data.batch_size = config.evaluation.batch_size = 2
    config.data.image_size = config.evaluation.image_size = 64
    config.preparation.num_photos = config.preparation.batch_size = 2
    config.model.width = config.loss.discriminator_width = 0.125
    config.weights.alexnet = config.weights.vgg19 = "random"
    config.evaluation.num_pictures = 2
    config.evaluation.every_steps = config.checkpoints.every_steps = 4
    config.log_every_steps = 1
