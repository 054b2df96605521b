"""What a system tells about a whole set of photos, beyond means of photo metrics.

Validation hands every batch of outputs to `collect`, inside its compiled step, keeps
what comes back of every photo, and asks for numbers and pictures at the end.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from vgg_unpool_jax.data import Source
from vgg_unpool_jax.errors import PhotoError

PyTree = Any

_LOG = logging.getLogger(__name__)


class Report(Protocol):
    """The report of a system.

    Attributes:
      error_gain: how often its pictures amplify errors, so that they can be seen.
    """

    error_gain: float

    def collect(self, outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Pick what is wanted of every photo: small arrays (n, ...).

        Args:
          outputs: the objective's outputs of a batch; traced.
        """

    def scalars(self, collected: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Numbers for the log, from the arrays of all photos."""

    def pictures(
        self,
        params: PyTree,
        model_state: PyTree,
        collected: Mapping[str, np.ndarray],
        labels: Sequence[str | None],
    ) -> dict[str, np.ndarray]:
        """Pictures (h, w, 3) uint8 by name.

        Args:
          params: as evaluated.
          model_state: as evaluated.
          collected: the arrays of all photos.
          labels: the class of each photo, None where there is none.
        """


class NoReport:
    """Of a system whose photo metrics say it all."""

    error_gain = 8.0

    def __init__(self, objective=None):
        """Nothing is needed of the objective."""
        del objective

    def collect(self, outputs):
        """Nothing."""
        return {}

    def scalars(self, collected):
        """Nothing."""
        return {}

    def pictures(self, params, model_state, collected, labels):
        """Nothing."""
        return {}


def read_labels(source: Source, indices: np.ndarray) -> list[str | None]:
    """Classes of photos, for pictures; a class that cannot be read is None and named.

    One class for all of them, such as the folder that they lie in, is none.

    Args:
      source: the photos.
      indices: which of them, (n,).
    """
    labels = []
    for index in indices:
        try:
            labels.append(source.label(int(index)))
        except PhotoError as error:
            # A picture is not worth a run.
            _LOG.warning("a photo is shown without its class: %s", error)
            labels.append(None)
    return labels if len(set(labels)) > 1 else [None] * len(labels)
