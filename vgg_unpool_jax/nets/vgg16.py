"""The convolutions of VGG16, with max-pooling or with the L2 pooling of DISTS.

Layers have Keras' names (`block3_conv3`); images are NHWC RGB in [0, 255].

Source: Simonyan & Zisserman 2014, arXiv 1409.1556, configuration D.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.nets.alexnet import layers_up_to
from vgg_unpool_jax.nets.convolution import AUTO, BLOCK_INPUT, Convolution
from vgg_unpool_jax.nets.vgg19 import preprocess
from vgg_unpool_jax.nets.vgg19_layers import vgg_convolutions
from vgg_unpool_jax.ops.l2_pooling import l2_pool
from vgg_unpool_jax.ops.pooling import max_pool_argmax

VGG16_CONVOLUTIONS = vgg_convolutions((2, 2, 3, 3, 3))
_CONVOLUTIONS = {layer.name: layer for layer in VGG16_CONVOLUTIONS}


def _layer_names() -> tuple[str, ...]:
    names = []
    for block in range(1, 6):
        names += [layer.name for layer in VGG16_CONVOLUTIONS if layer.block == block]
        names.append(f"block{block}_pool")
    return tuple(names)


VGG16_LAYERS = _layer_names()
POOLINGS = ("max", "l2")


class VGG16(nn.Module):
    """VGG16 up to a layer.

    Attributes:
      last: one of `VGG16_LAYERS`; what follows has no parameters here.
      pooling: "max", which leaves out the last row or column of an odd side, or "l2";
        see `ops.l2_pooling`.
      preprocessing: "torchvision" or "caffe"; it belongs to the weights.
      dtype: of activations and products; parameters are float32.
      convolution: an implementation of `ops.convolution.convolve`, or "auto".
    """

    last: str = "block5_conv3"
    pooling: str = "max"
    preprocessing: str = "torchvision"
    dtype: jnp.dtype = jnp.float32
    convolution: str = AUTO

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Compute features.

        Args:
          images: (n, h, w, 3) RGB in [0, 255]; sides of at least 2^p pixels for p
            max-poolings.

        Returns:
          outputs: of the layer `last`, (n, h', w', c) of `dtype`.
          intermediates: the ReLU output of each convolution and the output of each
            pooling, up to `last`, by name.
        """
        require_image("images", images, 4)
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}"
            )
        names = layers_up_to(VGG16_LAYERS, self.last)
        smallest = 2 ** sum(name not in _CONVOLUTIONS for name in names)
        if self.pooling == "max" and min(images.shape[1:3]) < smallest:
            raise ValueError(
                f"images must have sides of at least {smallest} pixels for VGG16 up to "
                f"{self.last}, got {images.shape[1]}×{images.shape[2]}"
            )
        outputs = preprocess(images, self.preprocessing).astype(self.dtype)
        intermediates = {}
        for name in names:
            if name in _CONVOLUTIONS:
                channels = _CONVOLUTIONS[name].outputs
                layer = Convolution(channels, True, self.convolution, name=name)
                outputs = layer(outputs)
            else:
                outputs = checkpoint_name(self._pool(outputs), BLOCK_INPUT)
            intermediates[name] = outputs
        return outputs, intermediates

    def _pool(self, outputs):
        if self.pooling == "l2":
            return l2_pool(outputs)
        _, height, width, _ = outputs.shape
        return max_pool_argmax(outputs[:, : height // 2 * 2, : width // 2 * 2])[0]
