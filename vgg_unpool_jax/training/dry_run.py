"""What a training would do, without a step of it and without a file."""

import os

import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.data import open_splits
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.training import run_config, run_photos, setup
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.optimizers import make_optimizer
from vgg_unpool_jax.training.stages import make_stages, mean_batch_size
from vgg_unpool_jax.training.system import System


def describe_run(
    config: ml_collections.ConfigDict, workdir: str | os.PathLike, system: System
) -> str:
    """The resolved config and the size of a run, after the checks of its start.

    Args:
      config: the experiment.
      workdir: of the run; if it holds a checkpoint, config and photos must agree.
      system: that would be trained.

    Returns:
      Lines for people.
    """
    splits = open_splits(config.data)
    if (to_path(workdir) / run_config.CHECKPOINTS).is_dir():
        with Checkpoints(workdir, create=False) as saved:
            resumed = saved.latest_step() is not None
        if resumed:
            run_config.compare(workdir, config)
            run_photos.compare(workdir, splits)
    count = len(splits["train"].indices)
    steps = setup.count_steps(config, count)
    stages = make_stages(config.data, steps)
    setup.check_numbers(config, stages)
    photos_per_step = mean_batch_size(config.data)
    make_optimizer(config.optimizer, steps, count / photos_per_step)
    objective = system.make_objective(config, None)
    params, _ = setup.check_images(config, system, objective, stages)
    lines = [
        f"{field} = {value!r}"
        for field, value in run_config.flatten(config.to_dict()).items()
    ]
    sizes = ", ".join(f"{len(part.indices):,} {name}" for name, part in splits.items())
    lines.append(f"photos: {sizes}")
    parts = ", ".join(f"{name} {_count(tree):,}" for name, tree in params.items())
    lines.append(f"parameters: {_count(params):,} ({parts})")
    lines.append(f"frozen beside them: {_count(objective.frozen):,}")
    for stage in stages:
        lines.append(
            f"steps {stage.first_step + 1:,} to {stage.end_step:,}: "
            f"{stage.batch_size} photos of {stage.image_size}² a step on "
            f"{jax.device_count()} {jax.default_backend()} device(s)"
        )
    epochs = steps * photos_per_step / max(count, 1)
    lines.append(f"{steps:,} steps, {epochs:.1f} passes over the training photos")
    return "\n".join(lines)


def _count(tree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))
