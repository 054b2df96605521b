"""Floating-point operations of the convolutions of a pair.

A multiplication and an addition count as two. Only convolutions are counted, and each
as if padding were computed: pooling, losses and optimizer are a few per cent.
"""

from vgg_unpool_jax.nets.vgg19_layers import Convolution, convolutions_up_to

_WINDOW = 9  # 3×3


def convolution_flops(layer: Convolution, batch: int, height: int, width: int) -> int:
    """FLOPs of one layer, forward.

    Its mirror in the decoder, the gradient of its input and that of its kernel take as
    many: each multiplies the same matrices in another order.

    Args:
      layer: of VGG19.
      batch: number of images.
      height: of the images in pixels, before any pooling.
      width: of the images in pixels.
    """
    scale = 2 ** (layer.block - 1)
    positions = batch * (height // scale) * (width // scale)
    return 2 * _WINDOW * layer.inputs * layer.outputs * positions


def encoder_flops(block: int, batch: int, height: int, width: int) -> int:
    """FLOPs of one pass through the encoder, or through its mirror, the decoder."""
    return sum(
        convolution_flops(layer, batch, height, width)
        for layer in convolutions_up_to(block)
    )


def reconstruction_flops(block: int, batch: int, height: int, width: int) -> int:
    """FLOPs of encoding and decoding."""
    return 2 * encoder_flops(block, batch, height, width)


def train_step_flops(block: int, batch: int, height: int, width: int) -> int:
    """FLOPs of a training step with the perceptual loss.

    Encoder: forward on the photos and on the reconstructions, and the gradient of its
    input; none of its frozen kernels. Decoder: forward, gradient of the kernels, and of
    the input of each layer but the first, before which there is nothing to train.
    """
    encoder = encoder_flops(block, batch, height, width)
    first = convolutions_up_to(block)[-1]  # whose mirror the decoder begins with
    decoder = 3 * encoder - convolution_flops(first, batch, height, width)
    return 3 * encoder + decoder
