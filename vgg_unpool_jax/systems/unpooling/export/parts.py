"""The arrays and facts of a pair, from which every format is written."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from vgg_unpool_jax.nets.vgg19 import preprocess
from vgg_unpool_jax.nets.vgg19_layers import Convolution, convolutions_up_to
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.releases.file import read
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS, UnpoolingDecoder


@dataclasses.dataclass(frozen=True, eq=False)
class PairParts:
    """An encoder and its decoder as arrays and facts.

    Attributes:
      weights: of the encoder, up to the cut.
      variables: collection -> layer -> float32 array, of the decoder.
      metadata: of the released decoder that this pair is or would be; see
        `releases.file`.
    """

    weights: VGG19Weights
    variables: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, pair, facts: Mapping[str, Any] | None = None) -> "PairParts":
        """The parts of a `Pair`.

        Args:
          pair: from `load_pair`.
          facts: for its users, as in `Pair.export`; None keeps the facts of the pair.
        """
        # Through the released form, so that every format has the same metadata.
        with tempfile.TemporaryDirectory(prefix="vgg_unpool_jax-") as folder:
            file = pathlib.Path(folder) / "decoder.safetensors"
            pair.export(file, facts=facts)
            decoder = read(file)
        params = jax.tree.map(np.asarray, dict(pair.encoder_params))
        layers = convolutions_up_to(pair.block)
        params = {layer.name: params[layer.name] for layer in layers}
        weights = VGG19Weights(params, **pair.record)
        return cls(weights, decoder.variables, decoder.metadata)

    @property
    def block(self) -> int:
        """1 to 5, where VGG19 is cut."""
        return self.metadata["config"]["encoder"]["block"]

    @property
    def decoder(self) -> UnpoolingDecoder:
        """The module with XLA's convolutions, on whatever machine it is lowered."""
        section = self.metadata["config"]["decoder"]
        return UnpoolingDecoder(self.block, convolution="xla", **section)

    @property
    def feature_rms(self) -> np.ndarray | None:
        """(c,) by which the decoder divides its input, or None."""
        if not self.decoder.normalize_features:
            return None
        return np.asarray(self.variables[STATISTICS]["feature_rms"])

    @property
    def encoder_layers(self) -> tuple[Convolution, ...]:
        """The encoder's convolutions, first to last."""
        return convolutions_up_to(self.block)

    @property
    def decoder_layers(self) -> tuple[Convolution, ...]:
        """The decoder's convolutions, first to last; each maps outputs to inputs."""
        return self.encoder_layers[::-1]

    def tree(self) -> dict[str, Any]:
        """All arrays: "encoder" and "decoder", each collection -> layer -> array."""
        nested = {"encoder": {"params": self.weights.params}, "decoder": self.variables}
        flat = flax.traverse_util.flatten_dict(nested)
        return flax.traverse_util.unflatten_dict(
            {key: np.asarray(array) for key, array in flat.items()}
        )


def preprocessing_constants(preprocessing: str) -> tuple[list[int], list, list]:
    """The constants of `nets.vgg19.preprocess`, for programs that cannot call it.

    Args:
      preprocessing: "caffe" or "torchvision".

    Returns:
      order, scale, offset: `images[..., order] * scale + offset`, three numbers each.
    """
    black = np.zeros((1, 1, 1, 3), np.float32)
    offset = np.asarray(preprocess(black, preprocessing)).reshape(3)
    # Row i: the effect of input channel i on the three outputs.
    pure = 255 * np.eye(3, dtype=np.float32).reshape(3, 1, 1, 3)
    response = np.asarray(preprocess(pure, preprocessing)).reshape(3, 3) - offset
    order = np.abs(response).argmax(axis=0)
    scale = response[order, np.arange(3)] / np.float32(255)
    return order.tolist(), scale.tolist(), offset.tolist()
