"""The trained system of a workdir, whichever it is."""

import os

from vgg_unpool_jax.pairs import Pair, load_pair
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.vaes import TrainedVAE, load_vae


def load_trained(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> Pair | TrainedVAE:
    """Load what a run trained.

    All have `reconstruct`, `prepare`, `evaluate`, `describe`, `config`, `step`,
    `record`, `crop` and `image_size`.

    Args:
      workdir: folder of a training run.
      weights: the VGG19 weight file, for systems with a VGG19; see `load_pair`.

    Raises:
      ConfigError: when the folder is no workdir.
      CheckpointError: when there is no checkpoint in it.
      WeightsError, WeightsMismatchError: as `load_pair`.
    """
    if run_config.read(workdir).get("system") == "vae":
        return load_vae(workdir, weights)
    return load_pair(workdir, weights)
