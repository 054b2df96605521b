"""Layers that the restoration networks share.

Images are in [0, 255] outside of the networks and in [-1, 1] inside. Padding is that of
torch: one pixel of zeros around, also at stride 2. Kernels start as in torch, uniform
with a variance of 1 / (3 · fan); biases at zero.
"""

import flax.linen as nn
import jax

from vgg_unpool_jax.nets.convolution import Convolution
from vgg_unpool_jax.nets.transposed_convolution import TransposedConvolution
from vgg_unpool_jax.ops.padding import pad_to_multiple

HALF_RANGE = 127.5
# Torch's defaults: its momentum 0.1 is the weight of the new batch.
_MOMENTUM, _EPSILON = 0.9, 1e-5
_KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# Torch counts the fan of a transposed kernel on its other side.
_TRANSPOSED_INIT = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
_PADDING = ((1, 1), (1, 1))
_TRANSPOSED_PADDING = (1, 2)  # kernel 3, stride 2, padding 1, output padding 1


def conv3(features: int, *, stride: int = 1, name: str) -> nn.Module:
    """3×3 convolution with bias."""
    if stride == 1:
        return Convolution(features, relu=False, kernel_init=_KERNEL_INIT, name=name)
    return nn.Conv(
        features,
        (3, 3),
        strides=stride,
        padding=_PADDING,
        kernel_init=_KERNEL_INIT,
        name=name,
    )


def conv1(features: int, *, name: str) -> nn.Module:
    """1×1 convolution with bias."""
    return nn.Conv(features, (1, 1), kernel_init=_KERNEL_INIT, name=name)


def transposed3(features: int, *, name: str) -> nn.Module:
    """3×3 transposed convolution with bias; doubles height and width."""
    return TransposedConvolution(
        features, 3, _TRANSPOSED_PADDING, _TRANSPOSED_INIT, name=name
    )


def batch_norm(train: bool, *, name: str) -> nn.BatchNorm:
    """Batch normalisation with torch's defaults."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=_MOMENTUM,
        epsilon=_EPSILON,
        name=name,
    )


def to_signed(images: jax.Array, multiple: int) -> jax.Array:
    """[0, 255] to [-1, 1], padded by reflection to sides that are multiples."""
    return pad_to_multiple(images, multiple) / HALF_RANGE - 1.0


def from_signed(outputs: jax.Array, like: jax.Array) -> jax.Array:
    """[-1, 1] to [0, 255], without the padding of `to_signed`."""
    return (outputs[:, : like.shape[1], : like.shape[2]] + 1.0) * HALF_RANGE
