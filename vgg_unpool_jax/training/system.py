"""What a system is: all that training and evaluation know of it.

A system is one folder under `systems/`, one under `configs/`, one under
`tests/systems/`, and one line in `systems/__init__.py`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.struct
import jax
import ml_collections

from vgg_unpool_jax.evaluation.reports import NoReport, Report

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


@dataclasses.dataclass(frozen=True)
class System:
    """A system that can be trained, evaluated, saved and loaded.

    Attributes:
      name: the value of `config.system`.
      make_objective: (config, record of the run that is resumed or loaded, or None) ->
        objective.
      load: (workdir or released model, pretrained weights or None) -> trained model;
        see `systems.load_trained` for what it offers.
      model_fields: config fields, or sections that end in a dot, that must agree where
        one run starts from the parameters of another.
      make_report: objective -> what evaluation reports beyond photo metrics.
      share_parameters: (config, fresh parameters) -> parameters, some of them taken
        from `config.initialize_shared_from`; None where that is not supported.
    """

    name: str
    make_objective: Callable[
        [ml_collections.ConfigDict, Mapping[str, Any] | None], Objective
    ]
    load: Callable[..., Any]
    model_fields: tuple[str, ...] = ()
    make_report: Callable[[Objective], Report] = NoReport
    share_parameters: Callable[[ml_collections.ConfigDict, PyTree], PyTree] | None = (
        None
    )
