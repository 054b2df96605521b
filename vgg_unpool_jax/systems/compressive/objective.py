"""Train a compressive autoencoder, with or without its quantiser.

The loss is the mean squared error on the scale of [0, 1]. As published there are two
stages: the first without quantiser; the second starts from it, keeps the encoder
(`optimizer.parts.encoder.name = "frozen"`) and trains the decoder on quantised latents.

A frozen encoder normalises by its running statistics and keeps them. The published
program goes on to normalise by each batch and to change the statistics, so that its
encoder moves all the same: `loss.seed_batch_norm`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.systems.compressive.model import CompressiveAutoencoder, make_model
from vgg_unpool_jax.systems.compressive.quantizer import (
    GRADIENTS,
    MAX_BITS,
    pass_through,
)
from vgg_unpool_jax.training.optimizers import frozen_parts
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

# Squared errors (n,) on the scale of [0, 1], with and without the quantiser.
QUANTIZED, UNQUANTIZED = "quantized_error", "unquantized_error"


class CompressiveObjective:
    """The objective of a compressive autoencoder; see `training/system.Objective`."""

    def __init__(
        self,
        model: CompressiveAutoencoder,
        bits: int,
        gradient: str,
        *,
        encoder_moves: bool = True,
    ):
        """Put model and quantiser together.

        Args:
          model: of `make_model`.
          bits: of the quantiser; 0 for none.
          gradient: of the quantiser, see `quantizer.GRADIENTS`.
          encoder_moves: whether the encoder normalises by the batch in training.
        """
        self.model, self.bits, self._gradient = model, bits, gradient
        self._encoder_moves = encoder_moves
        self.frozen: PyTree = {}
        self.record: Mapping[str, Any] = {}

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise both halves."""
        # Jitted, because hundreds of operations would otherwise be compiled one by one.
        variables = dict(jax.jit(self.model.init)(key, batch["image"]))
        return variables.pop("params"), variables

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """Mean squared error of decoded images, on the scale of [0, 1]."""
        images = batch["image"]
        state = {name: model_state[name] for name in model_state if name != "frozen"}

        def apply(state, array, method, by_batch):
            found, updated = self.model.apply(
                {"params": params, **state},
                array,
                by_batch,
                method=method,
                mutable=list(state),
            )
            return found, {**state, **updated}

        by_batch = train and self._encoder_moves
        latents, state = apply(state, images, "encode", by_batch)
        rounded = pass_through(
            latents, self.bits, self._gradient, keys if train else None
        )
        decoded, state = apply(state, rounded, "decode", train)
        errors = _squared_error(decoded, images)
        loss = jnp.mean(errors)
        terms = {"psnr": -10.0 * jnp.log10(loss)}
        outputs = {}
        if not train:
            unquantized = errors
            if self.bits:
                exact, _ = apply(state, latents, "decode", False)
                unquantized = _squared_error(exact, images)
            outputs = {INPUT: images, OUTPUT: decoded, TARGET: images}
            outputs |= {QUANTIZED: errors, UNQUANTIZED: unquantized}
        return {ALL: loss}, Aux(terms, state, outputs)


def _squared_error(decoded, images):
    return jnp.mean(jnp.square((decoded - images) / 255.0), axis=(1, 2, 3))


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> CompressiveObjective:
    """Build the objective of a config with the sections model, quantizer and loss."""
    del record  # nothing is frozen but parameters, which are saved
    bits, gradient = config.quantizer.bits, config.quantizer.gradient
    if not 0 <= bits <= MAX_BITS:
        raise ConfigError(f"quantizer.bits must be 0 to {MAX_BITS}, got {bits}")
    if gradient not in GRADIENTS:
        raise ConfigError(
            f"quantizer.gradient must be one of {', '.join(GRADIENTS)}, got "
            f"{gradient!r}"
        )
    moves = config.loss.seed_batch_norm or "encoder" not in frozen_parts(
        config.optimizer
    )
    return CompressiveObjective(make_model(config), bits, gradient, encoder_moves=moves)
