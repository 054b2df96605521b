"""The VGG19 encoder, cut at blockX_conv2, with the switches of every max-pool.

Layers have Keras' names (`block3_conv4`). Images are NHWC RGB float32 in [0, 255]; the
encoder applies the preprocessing that its weights were trained with.

Source: Simonyan & Zisserman 2014, arXiv 1409.1556, configuration E.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from vgg_unpool_jax.nets.convolution import AUTO, BLOCK_INPUT, Convolution, zero_beyond
from vgg_unpool_jax.nets.vgg19_layers import (
    PREPROCESSINGS,
    convolutions_up_to,
    size_multiple,
)
from vgg_unpool_jax.ops.pooling import max_pool_argmax

_CAFFE_MEAN_BGR = np.array([[[[103.939, 116.779, 123.68]]]], np.float32)
_TORCHVISION_MEAN_RGB = np.array([[[[0.485, 0.456, 0.406]]]], np.float32)
_TORCHVISION_STD_RGB = np.array([[[[0.229, 0.224, 0.225]]]], np.float32)


def preprocess(images: jax.Array, preprocessing: str) -> jax.Array:
    """Apply the preprocessing of the weights to RGB images in [0, 255].

    Args:
      images: (n, h, w, 3) RGB in [0, 255].
      preprocessing: "caffe" (BGR minus the ImageNet mean, as Keras' VGG19) or
        "torchvision" (RGB in [0, 1], mean and standard deviation normalised).

    Returns:
      (n, h, w, 3) in the channel order of the weights.
    """
    if preprocessing == "caffe":
        return images[..., ::-1] - _CAFFE_MEAN_BGR
    if preprocessing == "torchvision":
        return (images / 255.0 - _TORCHVISION_MEAN_RGB) / _TORCHVISION_STD_RGB
    raise ValueError(
        f"preprocessing must be one of {PREPROCESSINGS}, got {preprocessing!r}"
    )


class VGG19Encoder(nn.Module):
    """VGG19 up to the ReLU of block{block}_conv2.

    Attributes:
      block: 1 to 5.
      preprocessing: "caffe" or "torchvision"; it belongs to the weights.
      dtype: of activations and products; parameters are float32.
      convolution: an implementation of `ops.convolution.convolve`, or "auto".
    """

    block: int
    preprocessing: str = "caffe"
    dtype: jnp.dtype = jnp.float32
    convolution: str = AUTO

    @nn.compact
    def __call__(
        self, images: jax.Array, size: jax.Array | None = None
    ) -> tuple[jax.Array, dict]:
        """Encode images.

        Args:
          images: (n, h, w, 3) RGB in [0, 255]; h and w multiples of 2^(block-1).
          size: None, or the height and width, multiples as well, beyond which images
            are padding that must have no effect; see `zero_beyond`.

        Returns:
          features: (n, h/2^(block-1), w/2^(block-1), c) of `dtype`, non-negative.
          intermediates: the ReLU output of every convolution by layer name, and
            "switches": a tuple of uint8 arrays, one for each of pools 1..block-1.
        """
        check_image_shape(images.shape, self.block)
        outputs = preprocess(images, self.preprocessing).astype(self.dtype)
        outputs = zero_beyond(outputs, size, 1)
        intermediates, switches, previous = {}, [], 1
        for layer in convolutions_up_to(self.block):
            if layer.block != previous:
                outputs, codes = max_pool_argmax(outputs)
                outputs = checkpoint_name(outputs, BLOCK_INPUT)
                switches.append(codes)
                previous = layer.block
            convolution = Convolution(
                layer.outputs, True, self.convolution, name=layer.name
            )
            outputs = zero_beyond(convolution(outputs), size, 2 ** (layer.block - 1))
            intermediates[layer.name] = outputs
        intermediates["switches"] = tuple(switches)
        return outputs, intermediates


def check_image_shape(shape: tuple[int, ...], block: int) -> None:
    """Raise `ValueError` unless images of this shape can be encoded at `block`."""
    multiple = size_multiple(block)
    if len(shape) != 4 or shape[3] != 3:
        raise ValueError(f"images must have shape (n, height, width, 3), got {shape}")
    if shape[1] % multiple or shape[2] % multiple or not shape[1] or not shape[2]:
        raise ValueError(
            f"images must have height and width that are multiples of {multiple} for "
            f"an encoder of block {block}, got {shape[1]}×{shape[2]}"
        )
