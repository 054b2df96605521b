"""Train a network to undo the damage of photos.

| loss | of a photo, on the scale of [-1, 1] |
|---|---|
| `mse` | mean squared difference, as published |
| `l1` | mean absolute difference |
| `psnr` | 10 log10 of the mean squared difference plus (2/255)² |

The last is what is measured: photos with little damage count as much as others. LPIPS
and DISTS are added with the coefficients that the config has for them.

Blind restorers also learn how damaged a photo is: the mean absolute error of
`restorer.to_vector` is added with a coefficient. In training the restorer is told what
is true of one half of the photos, by chance, and what is estimated of the others; in
evaluation what is estimated.

The published program logs 6 - 10 log10(MSE) as PSNR; "psnr" here is the exact
20 log10(2) - 10 log10(MSE) with the same mean over a batch: 0.0206 dB more.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.systems.perceptual_terms import PerceptualTerms, load_terms
from vgg_unpool_jax.systems.restoration.layers import HALF_RANGE
from vgg_unpool_jax.systems.restoration.models import make_model
from vgg_unpool_jax.systems.restoration.restorer import (
    Levels,
    Restorer,
    from_vector,
    to_vector,
)
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

LOSSES = ("mse", "l1", "psnr")
# Outputs besides the images, (n,) each: what was done, and what is estimated of it.
NOISE, QUALITY = "noise", "quality"
ESTIMATED_NOISE, ESTIMATED_QUALITY = "estimated_noise", "estimated_quality"
_LEAST_SQUARE = (1 / HALF_RANGE) ** 2


class RestorationObjective:
    """The objective of a restoration network; see `training/system.Objective`."""

    def __init__(
        self,
        model: nn.Module,
        loss: str,
        estimation: float,
        perceptual: PerceptualTerms = PerceptualTerms(),  # noqa: B008, of no state
    ):
        """Put model and loss together.

        Args:
          model: of `models.make_model`.
          loss: one of `LOSSES`.
          estimation: coefficient of the error of a blind restorer's estimate.
          perceptual: terms that are added.
        """
        self.model, self._loss, self._estimation = model, loss, estimation
        self.is_blind = isinstance(model, Restorer)
        self._perceptual = perceptual
        self.frozen: PyTree = perceptual.frozen
        self.record: Mapping[str, Any] = perceptual.record

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise the network."""
        # Jitted, because hundreds of operations would otherwise be compiled one by one.
        variables = dict(jax.jit(self.model.init)(key, batch[INPUT]))
        return variables.pop("params"), variables

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """The loss over a batch of damaged images in [0, 255]."""
        inputs, targets = batch[INPUT], batch["image"]
        state = {name: model_state[name] for name in model_state if name != "frozen"}
        variables = {"params": params, **state}
        known, cost, terms = {}, 0.0, {}
        if self.is_blind:
            done = Levels(batch[NOISE], batch[QUALITY])
            vector, estimated, cost = self._levels(variables, inputs, done, keys, train)
            found = from_vector(estimated)
            known = {
                NOISE: done.noise,
                QUALITY: done.quality,
                ESTIMATED_NOISE: found.noise,
                ESTIMATED_QUALITY: found.quality,
            }
            terms = {
                "noise_error": jnp.mean(jnp.abs(found.noise - done.noise)),
                "quality_error": jnp.mean(jnp.abs(found.quality - done.quality)),
            }
            arguments, options = (vector, train), {"method": "restore"}
        else:
            arguments, options = (train, keys), {}
        outputs, updated = self.model.apply(
            variables, inputs, *arguments, mutable=list(state), **options
        )
        error = (outputs - targets) / HALF_RANGE
        squares = jnp.mean(jnp.square(error), axis=(1, 2, 3))
        loss = self._restoration_loss(error, squares)
        signal = 20.0 * jnp.log10(jnp.float32(2.0))
        least = jnp.maximum(jnp.mean(squares), 1e-10)  # 106 dB
        terms["psnr"] = signal - 10.0 * jnp.log10(least)
        added, distances = self._perceptual(
            model_state.get("frozen", {}), outputs, targets
        )
        cost += jnp.mean(added)
        terms |= {name: jnp.mean(values) for name, values in distances.items()}
        pictures = {INPUT: inputs, OUTPUT: outputs, TARGET: targets}
        return {ALL: loss + cost}, Aux(terms, dict(updated), {**pictures, **known})

    def _levels(self, variables, inputs, done, keys, train):
        """Vectors to tell the restorer, as estimated, and the cost of the estimate."""
        features = self.model.apply(variables, inputs, method="features")
        pooled = jnp.mean(features, axis=(1, 2))
        estimated = self.model.apply(variables, pooled, method="estimate")
        true = to_vector(done)
        cost = self._estimation * jnp.mean(jnp.abs(estimated - true))
        vector = jax.lax.stop_gradient(estimated)
        if train:
            half = jnp.float32(0.5)
            told = jax.vmap(lambda key: jax.random.bernoulli(key, half))(keys)
            vector = jnp.where(told[:, None], true, vector)
        return vector, estimated, cost

    def _restoration_loss(self, error, squares):
        if self._loss == "mse":
            return jnp.mean(squares)
        if self._loss == "l1":
            return jnp.mean(jnp.abs(error))
        return jnp.mean(10.0 * jnp.log10(squares + _LEAST_SQUARE))


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> RestorationObjective:
    """Build the objective of a config with sections model and loss."""
    name, estimation = config.loss.name, config.loss.estimation
    if name not in LOSSES:
        raise ConfigError(f"loss.name must be one of {', '.join(LOSSES)}, got {name!r}")
    if not estimation >= 0:
        raise ConfigError(f"loss.estimation must be at least 0, got {estimation}")
    terms = load_terms(config.loss, record)
    return RestorationObjective(make_model(config), name, estimation, terms)
