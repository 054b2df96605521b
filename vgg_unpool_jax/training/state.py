"""Everything that the next training step needs, in one pytree."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

PyTree = Any


class TrainState(flax.struct.PyTreeNode):
    """State of a training run; saved and restored as a whole.

    Attributes:
      step: number of finished steps, int32 scalar. It is also the data position: one
        step takes one batch of the seeded stream.
      params: trained parameters.
      model_state: untrained variables that belong to the model, such as statistics.
      opt_state: state of the optimizer.
      average: exponential moving average of `params`, or None when it is off.
    """

    step: jax.Array
    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    average: PyTree

    @property
    def evaluation_params(self) -> PyTree:
        """The averaged parameters if there are any, otherwise the current ones."""
        return self.params if self.average is None else self.average


def create_train_state(
    params: PyTree,
    model_state: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    averaged: bool,
) -> TrainState:
    """State before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=jax.jit(optimizer.init)(params),
        # A copy: the step donates its state, and one buffer cannot be donated twice.
        average=jax.tree.map(jnp.copy, params) if averaged else None,
    )
