"""Stacks of convolutions and up-convolutions with leaky ReLU."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.nets.convolution import Convolution
from vgg_unpool_jax.nets.transposed_convolution import TransposedConvolution

# Slope of the leaky ReLU of generators.
SLOPE = 0.3


class Layer(NamedTuple):
    """A convolution, or an up-convolution (4×4, stride 2: doubles the sides).

    Attributes:
      features: output channels.
      size: side of the kernel; 0 for an up-convolution.
      stride: of a convolution.
      valid: whether it does not pad.
    """

    features: int
    size: int = 3
    stride: int = 1
    valid: bool = False


def up(features: int) -> Layer:
    """An up-convolution."""
    return Layer(features, size=0)


def scaled(layers: tuple[Layer, ...], width: float) -> tuple[Layer, ...]:
    """The same layers with `width` times as many channels, except RGB."""
    return tuple(
        layer._replace(features=max(4, round(width * layer.features)))
        if layer.features > 3
        else layer
        for layer in layers
    )


class Stack(nn.Module):
    """Layers one after the other, each with a leaky ReLU.

    Attributes:
      layers: first to last.
      slope: of the leaky ReLU; 0 for ReLU.
      use_bias: whether layers have a bias.
      linear_end: whether the last layer has no ReLU.
    """

    layers: tuple[Layer, ...]
    slope: float = SLOPE
    use_bias: bool = True
    linear_end: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) to (n, h', w', c')."""
        for number, layer in enumerate(self.layers, start=1):
            is_linear = self.linear_end and number == len(self.layers)
            # He's variance for this slope keeps the mean square from layer to layer.
            gain = 1.0 if is_linear else 2.0 / (1.0 + self.slope**2)
            x = self._apply(layer, gain, number, x)
            if not is_linear:
                x = nn.leaky_relu(x, jnp.float32(self.slope))
        return x

    def _apply(self, layer: Layer, gain: float, number: int, x):
        if not layer.size:
            # An output sees a quarter of the taps. Kernel 4, torch's padding 1.
            init = nn.initializers.variance_scaling(4.0 * gain, "fan_in", "normal")
            options = {"use_bias": self.use_bias, "name": f"up{number}"}
            return TransposedConvolution(layer.features, 4, (2, 2), init, **options)(x)
        init = nn.initializers.variance_scaling(gain, "fan_in", "normal")
        name = f"conv{number}"
        if layer == Layer(layer.features):  # faster than nn.Conv
            options = {"use_bias": self.use_bias, "kernel_init": init, "name": name}
            return Convolution(layer.features, False, **options)(x)
        pad = 0 if layer.valid else layer.size // 2
        return nn.Conv(
            layer.features,
            (layer.size, layer.size),
            strides=layer.stride,
            padding=pad,
            use_bias=self.use_bias,
            kernel_init=init,
            name=name,
        )(x)
