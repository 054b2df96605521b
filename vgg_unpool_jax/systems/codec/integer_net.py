"""The predictor of the codec in integer arithmetic, on the host.

A decoder must get exactly the probabilities that the encoder used, on any machine, or
all that follows is lost. Here numbers are integers: activations in units of 1/256,
kernels of 1/4096. They are kept in float64, whose products and sums are exact below
2^53, in any order and with any number of threads: a sum of 2,000 products of 16 and 17
bits has less than 2^44.

Logarithms of integers are looked up in a table, whose numbers are nowhere near a half
before they are rounded.

The layers are those of `model.HyperSynthesis` and `model.Predictor`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from vgg_unpool_jax.ops.blocks import channels_to_blocks
from vgg_unpool_jax.systems.codec.entropy import NUM_SCALES
from vgg_unpool_jax.systems.codec.model import (
    INPUT_SCALE,
    LARGEST_ACTIVATION,
    LARGEST_INPUT,
    checkerboard,
)

# Units of activations and of kernels, as numbers of bits behind the binary point.
ACTIVATION_BITS, KERNEL_BITS = 8, 12

_INPUT = 2**ACTIVATION_BITS / INPUT_SCALE
_LARGEST = LARGEST_ACTIVATION * 2**ACTIVATION_BITS
# Kernels beyond this would have to be stored in other units.
_LARGEST_KERNEL = 2.0**17
# log2(1 + |integer|), in units of activations.
_LOGARITHMS = np.round(2**ACTIVATION_BITS * np.log2(1.0 + np.arange(LARGEST_INPUT + 1)))


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A convolution of integers.

    Attributes:
      kernel: float64 integers (size, size, i, o).
      bias: float64 integers (o,), in units of activations times kernels.
    """

    kernel: np.ndarray
    bias: np.ndarray

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, np.ndarray]) -> "Layer":
        """Round the parameters of a `model.FixedPointConv`."""
        kernel, bias = (
            np.asarray(parameters["conv"][name], np.float64)
            for name in ("kernel", "bias")
        )
        kernel = np.round(kernel.reshape(-1, *kernel.shape[-2:]) * 2**KERNEL_BITS)
        size = round(len(kernel) ** 0.5)
        kernel = kernel.reshape(size, size, *kernel.shape[-2:])
        if np.abs(kernel).max() >= _LARGEST_KERNEL:
            raise ValueError("a kernel of the codec's predictor is too large")
        return cls(kernel, np.round(bias * 2 ** (ACTIVATION_BITS + KERNEL_BITS)))

    def __call__(self, arrays: np.ndarray) -> np.ndarray:
        """Float64 integers (h, w, i) to (h, w, o)."""
        height, width, channels = arrays.shape
        size = len(self.kernel)
        padded = np.pad(arrays, [(size // 2, size // 2)] * 2 + [(0, 0)])
        total = np.broadcast_to(self.bias, (height * width, len(self.bias))).copy()
        for row in range(size):
            for column in range(size):
                part = padded[row : row + height, column : column + width]
                part = part.reshape(-1, channels)
                total += part @ self.kernel[row, column]
        total += 2.0 ** (KERNEL_BITS - 1)
        total = np.floor(total * 2.0**-KERNEL_BITS)
        return total.reshape(height, width, -1)


class IntegerNet:
    """The predictor of a trained codec."""

    def __init__(
        self, params: Mapping[str, Mapping], steps: Sequence[tuple[int, int, int]]
    ):
        """Round the parameters.

        Args:
          params: of a `model.Codec`.
          steps: its order of decoding.
        """
        hyper = params["hyper_synthesis"]
        names = ("layer1", "layer2", "layer3")
        self._hyper = [Layer.from_parameters(hyper[name]) for name in names]
        bias = np.asarray(hyper["quality_bias"], np.float64)
        self._quality_bias = np.round(bias * 2**ACTIVATION_BITS)
        self._predictors = [
            [
                Layer.from_parameters(params[f"predictors_{index}"][name])
                for name in names
            ]
            for index in range(len(steps))
        ]
        self._steps = steps
        # Absent in codecs without `log_context`.
        base = params.get("base_index")
        if base is not None:
            base = np.round(np.asarray(base, np.float64) * 2**ACTIVATION_BITS)
        self._base = base

    def features(self, hyper: np.ndarray, quality: int) -> np.ndarray:
        """Features of the prediction, (4 h, 4 w, f), from hyper integers (h, w, c)."""
        first, second, third = self._hyper
        arrays = _clip_input(hyper)
        arrays = channels_to_blocks(_relu(first(arrays))[None], 2)[0]
        arrays = channels_to_blocks(_relu(second(arrays))[None], 2)[0]
        return _relu(third(arrays) + self._quality_bias[quality])

    def predict(
        self, features: np.ndarray, integers: np.ndarray, step: int, quality: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and scales of the integers of one step.

        Args:
          features: as from `features`.
          integers: (h, w, channels); only those of earlier steps are used.
          step: number of the step.
          quality: from 0.

        Returns:
          means: int64 (h, w, channels of the step), in units of 1/256.
          scales: int64 of the same shape, indices of `entropy.SCALES`.
        """
        first, end, parity = self._steps[step]
        known = integers[..., : end if parity == 1 else first]
        known = np.clip(known, -LARGEST_INPUT, LARGEST_INPUT)
        if parity == 1:
            odd = checkerboard(*integers.shape[:2])[:, :, None]
            known = known.copy()
            known[..., first:] *= 1 - odd
        parts = [features, known * _INPUT]
        if self._base is not None:
            parts.append(_LOGARITHMS[np.abs(known)])
        arrays = np.concatenate(parts, axis=-1)
        layers = self._predictors[step]
        arrays = _relu(layers[0](arrays))
        arrays = _relu(layers[1](arrays))
        means, indices = np.split(layers[2](arrays), 2, axis=-1)
        if self._base is not None:
            indices = indices + self._base[quality, first:end]
        unit = 2.0**ACTIVATION_BITS
        scales = np.clip(np.floor(indices / unit + 0.5), 0, NUM_SCALES - 1)
        return means.astype(np.int64), scales.astype(np.int64)


def _clip_input(integers: np.ndarray) -> np.ndarray:
    clipped = np.clip(integers, -LARGEST_INPUT, LARGEST_INPUT)
    return clipped.astype(np.float64) * _INPUT


def _relu(arrays: np.ndarray) -> np.ndarray:
    return np.clip(arrays, 0.0, _LARGEST)
