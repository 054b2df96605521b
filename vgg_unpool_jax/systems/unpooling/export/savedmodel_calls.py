"""SavedModels of the published form, however they were written, as two functions."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vgg_unpool_jax.errors import UserError, first_line
from vgg_unpool_jax.systems.unpooling.export.savedmodel_variables import read_variables


class SavedModel:
    """A folder that TensorFlow or Keras wrote.

    Attributes:
      folder: of it.
      stored: its variables.
      convolutions: in the natural order of their names.
    """

    def __init__(self, folder: pathlib.Path, tensorflow: Any):
        """Read the variables; the graph is loaded when it is called."""
        self.folder, self._tensorflow = folder, tensorflow
        self.stored = read_variables(folder, tensorflow)
        self.convolutions = self.stored.convolutions

    def encode(
        self, images: np.ndarray, block: int
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Call an encoder.

        Args:
          images: (n, h, w, 3) float32.
          block: 1 to 5.

        Returns:
          Features and the indices of all pools.

        Raises:
          UserError: it cannot be called, or gives something else.
        """
        outputs = self._call([self._tensorflow.constant(images)])
        arrays = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        if len(arrays) != block or not all(hasattr(a, "numpy") for a in arrays):
            raise UserError(
                f"{self.folder} gives {_describe(outputs)}, expected features and the "
                f"indices of {block - 1} pools, in this order"
            )
        features, *indices = (array.numpy() for array in arrays)
        return features, indices

    def decode(self, features: np.ndarray, indices: Sequence[np.ndarray]) -> np.ndarray:
        """Call a decoder.

        Args:
          features: (n, h', w', c) float32.
          indices: of all pools, (m, 4) int64 each.

        Returns:
          (n, h, w, 3).

        Raises:
          UserError: it cannot be called, or gives something else.
        """
        tensors = [self._tensorflow.constant(array) for array in (features, *indices)]
        # Some programs save a list of inputs as a list, some as a tuple.
        forms = [[tensors], [tuple(tensors)], tensors] if indices else [tensors]
        outputs = self._call(*forms)
        if isinstance(outputs, list | tuple) and len(outputs) == 1:
            outputs = outputs[0]
        if not hasattr(outputs, "numpy"):
            raise UserError(
                f"{self.folder} gives {_describe(outputs)}, expected images"
            )
        return outputs.numpy()

    def _call(self, *forms: list):
        """Call the model with the first form of arguments that it takes."""
        try:
            model = self._tensorflow.saved_model.load(str(self.folder))
        except Exception as error:
            raise UserError(
                f"{self.folder} cannot be loaded ({first_line(error)})"
            ) from error
        # Keras 3 writes a function of that name and no object to call.
        function = model if callable(model) else getattr(model, "serve", None)
        if function is None:
            raise UserError(f"{self.folder} holds nothing that can be called")
        refusal: Exception | None = None
        for arguments in forms:
            try:
                return function(*arguments)
            # Raised by TensorFlow for a form that was not traced, and for inputs that
            # do not match.
            except (TypeError, ValueError, self._tensorflow.errors.OpError) as error:
                refusal = refusal or error
        raise UserError(
            f"{self.folder} does not accept the inputs of a model of the collection "
            f"({first_line(refusal)})"
        ) from refusal


def _describe(outputs) -> str:
    if isinstance(outputs, dict):
        return f"a dictionary with {', '.join(map(str, outputs))}"
    if isinstance(outputs, list | tuple):
        return f"{len(outputs)} arrays"
    return f"a {type(outputs).__name__}"
