"""AlexNet as torchvision has it: one tower, no normalisation, convolutions alone.

It is not the network of the paper (two groups, local response normalisation), nor
CaffeNet. Images are NHWC RGB in [0, 255].

Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural
networks", arXiv 1404.5997; torchvision's `alexnet`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.nets.vgg19 import preprocess
from vgg_unpool_jax.nets.vgg19_layers import Convolution

ALEXNET_CONVOLUTIONS = (
    Convolution("conv1", 1, 3, 64, 0, size=11),
    Convolution("conv2", 2, 64, 192, 3, size=5),
    Convolution("conv3", 3, 192, 384, 6),
    Convolution("conv4", 3, 384, 256, 8),
    Convolution("conv5", 3, 256, 256, 10),
)
ALEXNET_LAYERS = (
    "conv1",
    "pool1",
    "conv2",
    "pool2",
    "conv3",
    "conv4",
    "conv5",
    "pool5",
)
# Smallest side for which conv3 to conv5 have a position, and pool5 has one.
MIN_SIDE, MIN_SIDE_OF_POOL5 = 31, 63


class AlexNet(nn.Module):
    """The convolutions of AlexNet, up to a layer.

    Attributes:
      last: one of `ALEXNET_LAYERS`; what follows has no parameters here.
      preprocessing: "torchvision" or "caffe"; it belongs to the weights.
      dtype: of activations and products; parameters are float32.
    """

    last: str = "conv5"
    preprocessing: str = "torchvision"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Compute features.

        Args:
          images: (n, h, w, 3) RGB in [0, 255]; sides of at least 31 pixels, or 63 up to
            pool5.

        Returns:
          outputs: of the layer `last`, (n, h', w', c) of `dtype`.
          intermediates: the ReLU output of each convolution and the output of each
            pooling, up to `last`, by name.
        """
        require_image("images", images, 4)
        smallest = MIN_SIDE_OF_POOL5 if self.last == "pool5" else MIN_SIDE
        if min(images.shape[1:3]) < smallest:
            raise ValueError(
                f"images must have sides of at least {smallest} pixels for AlexNet up "
                f"to {self.last}, got {images.shape[1]}×{images.shape[2]}"
            )
        convolutions = {layer.name: layer for layer in ALEXNET_CONVOLUTIONS}
        outputs = preprocess(images, self.preprocessing).astype(self.dtype)
        intermediates = {}
        for name in layers_up_to(ALEXNET_LAYERS, self.last):
            if name in convolutions:
                layer = convolutions[name]
                outputs = nn.relu(
                    nn.Conv(
                        layer.outputs,
                        (layer.size, layer.size),
                        strides=4 if name == "conv1" else 1,
                        padding=2 if name == "conv1" else layer.size // 2,
                        dtype=self.dtype,
                        name=name,
                    )(outputs)
                )
            else:
                outputs = nn.max_pool(outputs, (3, 3), (2, 2), "VALID")
            intermediates[name] = outputs
        return outputs, intermediates


def layers_up_to(layers: tuple[str, ...], last: str) -> tuple[str, ...]:
    """Names of a network's layers from the first to `last`."""
    if last not in layers:
        raise ValueError(f"last must be one of {', '.join(layers)}, got {last!r}")
    return layers[: layers.index(last) + 1]
