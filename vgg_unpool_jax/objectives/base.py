"""What the trainer asks of a system.

A system is a model, an objective, a config and a test; the trainer knows only this.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import flax.struct
import jax

PyTree = Any

# Names of the outputs that evaluation compares and pictures show.
TARGET = "target"
RECONSTRUCTION = "reconstruction"


class Aux(flax.struct.PyTreeNode):
    """What a loss returns beside its scalar.

    Attributes:
      terms: named scalars, logged under their own names, unweighted.
      model_state: the new model state (without the frozen part).
      outputs: named arrays with a leading photo axis. "target" and "reconstruction"
        are RGB images on the scale of [0, 255] (n, h, w, 3), the reconstruction not
        clipped; evaluation compares these two.
    """

    terms: dict[str, jax.Array]
    model_state: PyTree
    outputs: dict[str, jax.Array]


class Objective(Protocol):
    """A system that can be trained.

    Attributes:
      frozen: arrays that are neither trained nor saved, such as a pretrained encoder.
        They are rebuilt from the config at every start; the trainer hands them to
        `loss` as `model_state["frozen"]`.
      record: JSON-ready facts about the inputs that made `frozen`, kept in every
        checkpoint. A run is resumed only with an equal record.
    """

    frozen: PyTree
    record: Mapping[str, Any]

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Return (params, model_state) from a key and a first training batch.

        A pure function of arrays: the trainer also traces it, for shapes alone.
        """

    def loss(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        key: jax.Array,
        train: bool,
    ) -> tuple[jax.Array, Aux]:
        """Scalar mean loss over the photos of the batch, and what goes with it.

        Args:
          params: as from `init`.
          model_state: as from `init`, and "frozen".
          batch: "image" (n, h, w, 3) float32 in [0, 255]; in training also "step", the
            number of finished steps, for weights that change with it.
          key: for whatever is random.
          train: whether this is a step of training. In evaluation the batch is a single
            photo.
        """
