"""The interface of a system: everything that training and evaluation know about it.

A system is one folder under `systems/`, one under `configs/`, one under
`tests/systems/`, and one name in `systems/__init__.py`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.struct
import jax
import ml_collections
import numpy as np

from vgg_unpool_jax.evaluation.reports import Report

PyTree = Any

# The key of a loss that is minimised over all parameters.
ALL = "all"


class Aux(flax.struct.PyTreeNode):
    """Values that an objective returns besides its losses.

    Attributes:
      terms: named scalars, logged under their own names, without coefficients.
      model_state: the new model state (without the frozen arrays).
      outputs: named arrays with a leading photo axis. A system that makes images has
        three: "input", as the model gets it, "output", not clipped, and "target", all
        RGB (n, h, w, 3) on the scale of [0, 255]. Evaluation compares output and
        target.
      active: part -> boolean scalar, whether the part of the parameters is updated in
        this step; parts that are not named are. A resting part keeps its parameters and
        the state of its optimizer. If devices disagree, the majority decides.
    """

    terms: dict[str, jax.Array]
    model_state: PyTree
    outputs: dict[str, jax.Array]
    active: dict[str, jax.Array] = flax.struct.field(default_factory=dict)


class Objective(Protocol):
    """The losses of a system.

    Attributes:
      frozen: arrays that are neither trained nor saved, such as a pretrained encoder.
        They are recreated from the config at every start; the trainer passes them to
        `losses` as `model_state["frozen"]`. Parameters that a config freezes
        (`optimizer.parts.PART.name = "frozen"`) are not among them: those are saved.
      record: JSON-ready facts about the inputs that made `frozen`, kept in every
        checkpoint. A run is resumed only with an equal record.
    """

    frozen: PyTree
    record: Mapping[str, Any]

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Return (params, model_state) from a key and a first training batch.

        A pure function of arrays: the trainer also traces it for the shapes. The
        top-level names of `params` are the parts of the model.
        """

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """Scalar losses by the part of the parameters over which they are minimised.

        Args:
          params: as from `init`.
          model_state: as from `init`, and "frozen".
          batch: "image" (n, h, w, 3) float32 in [0, 255], "index" (n,), whatever else
            the system's examples hold; in training also "step", the number of finished
            steps.
          keys: (n,), a random key for each photo: its draws depend neither on the
            device nor on the other photos of the batch.
          train: whether this is a training step. In evaluation the batch is a single
            photo.

        Returns:
          Mean losses over the photos of the batch: one under `ALL`, or one for each
          part that is not frozen; and the other values of the step.
        """


# (crop (h, w, 3) uint8, the example's own random generator) -> arrays of the example;
# "image" must be among them.
MakeExample = Callable[[np.ndarray, np.random.Generator], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class System:
    """A system that can be trained, evaluated, saved and loaded.

    Attributes:
      name: the value of `config.system`.
      make_objective: (config, record of the run that is resumed or loaded, or None) ->
        objective.
      load: (workdir or released model, pretrained weights or None) -> trained model;
        see `systems.load_trained` for its methods.
      make_report: objective -> its report beyond photo metrics.
      make_example: (config, "data" or "evaluation") -> function that makes an example
        of a crop, such as one with a damaged input; None for the crop alone.
      model_fields: config fields, or sections that end in a dot, that must agree if one
        run starts from the parameters of another.
      prepare: (config, objective, params, model_state, crops) -> (params, model_state)
        before the first step of a run that starts from nothing: what needs more than a
        first batch, such as statistics of many photos or the parameters of another run.
        `crops(count, image_size, batch_size)` iterates over uint8 batches of random
        square crops of training photos, the same at every call.
      card_parts: (metadata of a release, its name) -> `about`, `usage` and `limits` of
        its model card, see `releases.card.model_card`; None says nothing.
    """

    name: str
    make_objective: Callable[
        [ml_collections.ConfigDict, Mapping[str, Any] | None], Objective
    ]
    load: Callable[..., Any]
    make_report: Callable[[Objective], Report] = Report
    make_example: (
        Callable[[ml_collections.ConfigDict, str], MakeExample | None] | None
    ) = None
    model_fields: tuple[str, ...] = ()
    prepare: Callable[..., tuple[PyTree, PyTree]] | None = None
    card_parts: Callable[[Mapping[str, Any], str], dict[str, Any]] | None = None

    def example_maker(
        self, config: ml_collections.ConfigDict, section: str
    ) -> MakeExample | None:
        """The function that makes examples in a section of the config, if any."""
        return self.make_example and self.make_example(config, section)
