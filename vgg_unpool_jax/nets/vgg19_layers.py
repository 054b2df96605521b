"""The convolutions of VGG19: names, shapes, and the layers of a cut encoder.

Source: Simonyan & Zisserman 2014, arXiv 1409.1556, configuration E.
"""

import dataclasses
from collections.abc import Sequence

from vgg_unpool_jax.errors import ConfigError

NUM_BLOCKS = 5
CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)

# Names of the preprocessing before block1_conv1, which belongs to the weights.
PREPROCESSINGS = ("caffe", "torchvision")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution of VGG19, or of another network (VGG16, AlexNet).

    Attributes:
      name: its Keras name, such as `block3_conv4`.
      block: the block it belongs to, 1 to 5.
      inputs: number of input channels.
      outputs: number of output channels.
      torchvision_index: its index in torchvision's `features` sequence.
      size: side of its kernel.
    """

    name: str
    block: int
    inputs: int
    outputs: int
    torchvision_index: int
    size: int = 3

    def shape(self, kind: str) -> tuple[int, ...]:
        """Shape of the layer's `"kernel"` (h, w, in, out) or `"bias"` (out,)."""
        if kind == "kernel":
            return (self.size, self.size, self.inputs, self.outputs)
        return (self.outputs,)


def vgg_convolutions(per_block: Sequence[int]) -> tuple[Convolution, ...]:
    """All convolutions of a VGG network, first to last.

    Args:
      per_block: number of convolutions of each of the five blocks.
    """
    layers = []
    inputs, index = 3, 0
    for block, (count, outputs) in enumerate(
        zip(per_block, CHANNELS_PER_BLOCK, strict=True), start=1
    ):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            layers.append(Convolution(name, block, inputs, outputs, index))
            inputs = outputs
            index += 2  # torchvision counts the ReLU behind each convolution,
        index += 1  # and the pooling that ends the block
    return tuple(layers)


VGG19_CONVOLUTIONS = vgg_convolutions(CONVOLUTIONS_PER_BLOCK)


def check_block(block: int) -> int:
    """Return `block` or raise `ConfigError` unless it is an integer from 1 to 5."""
    if isinstance(block, bool) or block not in range(1, NUM_BLOCKS + 1):
        raise ConfigError(f"block must be 1, 2, 3, 4 or 5, got {block!r}")
    return int(block)


def convolutions_up_to(block: int) -> tuple[Convolution, ...]:
    """Convolutions of an encoder cut at block`block`_conv2, first to last.

    Args:
      block: 1 to 5.

    Returns:
      All convolutions of the earlier blocks and the first two of this one.
    """
    earlier = sum(CONVOLUTIONS_PER_BLOCK[: check_block(block) - 1])
    return VGG19_CONVOLUTIONS[: earlier + 2]


def size_multiple(block: int) -> int:
    """The number of which height and width of the encoder's input must be multiples."""
    return 2 ** (check_block(block) - 1)
