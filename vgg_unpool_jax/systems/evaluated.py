"""Evaluation of a trained model by the outputs of its own objective."""

from typing import Any

import jax
import jax.numpy as jnp

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.evaluation.evaluator import Evaluation, evaluate_split
from vgg_unpool_jax.evaluation.reports import Report
from vgg_unpool_jax.ops.placing import on_device
from vgg_unpool_jax.training.system import Objective


def evaluate_objective(
    trained: Any, objective: Objective, report: Report, split: Split, **options
) -> Evaluation:
    """Evaluate over photos.

    Args:
      trained: with the attributes `variables`, `image_size` and `crop`.
      objective: whose frozen arrays are empty.
      report: of the system.
      split: the photos.
      **options: of `evaluation/evaluator.evaluate_split`.
    """
    params = trained.variables["params"]
    state = {name: a for name, a in trained.variables.items() if name != "params"}

    @jax.jit
    def compute(params, batch):
        return objective.losses(params, state, batch, None, False)[1].outputs

    def compute_outputs(batch):
        names = [name for name in ("image", "input") if name in batch]
        arrays = {name: on_device(batch[name], jnp.float32) for name in names}
        return compute(params, arrays)

    return evaluate_split(
        compute_outputs,
        report,
        split.source,
        split.indices,
        variables=(params, state),
        **{"image_size": trained.image_size, "crop": trained.crop, **options},
    )
