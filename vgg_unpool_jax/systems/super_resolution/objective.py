"""Train a network to enlarge photos.

| loss | of a photo, on the scale of [0, 1] |
|---|---|
| `l1` | mean absolute difference |
| `l2` | mean squared difference |
| `psnr` | 10 log10 of the mean squared difference plus (1/255)² |

`loss.then` takes the place of `loss.name` in the last part of the run.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.systems.super_resolution.model import WHITE, make_model
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

LOSSES = ("l1", "l2", "psnr")


class SuperResolutionObjective:
    """The objective of an upscaler; see `training/system.Objective`."""

    def __init__(self, model: nn.Module, factor: int, losses: tuple[str, str], step):
        """Put model and losses together.

        Args:
          model: of `make_model`.
          factor: of the sides.
          losses: two of `LOSSES`.
          step: from which the second is taken.
        """
        self.model, self.factor = model, factor
        self._losses, self._step = losses, step
        self.frozen: PyTree = {}
        self.record: Mapping[str, Any] = {}

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise the network."""
        variables = dict(jax.jit(self.model.init)(key, batch["input"]))
        return variables.pop("params"), variables

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """The loss over a batch of reduced images in [0, 255]."""
        del keys  # nothing is random
        targets, inputs = batch["image"], batch["input"]
        state = {name: model_state[name] for name in model_state if name != "frozen"}
        outputs, updated = self.model.apply(
            {"params": params, **state}, inputs, train, mutable=list(state)
        )
        error = (outputs - targets) / WHITE
        squares = jnp.mean(jnp.square(error), axis=(1, 2, 3))
        values = {
            "l1": jnp.mean(jnp.abs(error)),
            "l2": jnp.mean(squares),
            "psnr": jnp.mean(10.0 * jnp.log10(squares + (1 / WHITE) ** 2)),
        }
        first, then = (values[name] for name in self._losses)
        loss = first
        if train:
            loss = jnp.where(batch["step"] < self._step, first, then)
        terms = {"psnr": -10.0 * jnp.log10(values["l2"])}
        pictures = {}
        if not train:
            # As large as the target: each pixel as a square.
            shown = jnp.repeat(jnp.repeat(inputs, self.factor, 1), self.factor, 2)
            pictures = {INPUT: shown, OUTPUT: outputs, TARGET: targets}
        return {ALL: loss}, Aux(terms, dict(updated), pictures)


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> SuperResolutionObjective:
    """Build the objective of a config with the sections model and loss."""
    del record  # nothing is frozen
    loss = config.loss
    for field in ("name", "then"):
        if loss[field] not in LOSSES:
            raise ConfigError(
                f"loss.{field} must be one of {', '.join(LOSSES)}, got {loss[field]!r}"
            )
    if not 0 <= loss.then_from <= 1:
        raise ConfigError(f"loss.then_from must be in [0, 1], got {loss.then_from}")
    step = round(loss.then_from * config.num_steps)
    names = loss.name, loss.then
    return SuperResolutionObjective(
        make_model(config), config.model.factor, names, step
    )
