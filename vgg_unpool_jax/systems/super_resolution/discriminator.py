"""The discriminator of AIDL_Project, which judges patches.

    conv3 64 ─ conv3/2 64 ─ conv3 128 ─ conv3/2 128 ─ conv3 256 ─ conv3/2 256
    ─ conv3 512 ─ conv3/2 512 ─ dense 1024 ─ dense 1

LeakyReLU (0.2) follows each but the last, then batch normalisation each convolution but
the first: a logit for each sixteenth of the sides.

Source: AIDL_Project (Keras).
"""

import flax.linen as nn
import jax

from vgg_unpool_jax.nets.convolution import Convolution
from vgg_unpool_jax.systems.super_resolution.model import batch_norm

_SLOPE = 0.2
_GLOROT = nn.initializers.glorot_uniform()


class PatchDiscriminator(nn.Module):
    """Images to logits of "real".

    Attributes:
      width: channels of the first layer; 64 as published.
    """

    width: int = 64

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Images (n, h, w, 3) in [0, 255] to logits (n, h / 16, w / 16).

        Args:
          images: the photos.
          train: normalise by the batch and update the running statistics.
        """
        x = images / 127.5 - 1.0
        for stage, factor in enumerate((1, 2, 4, 8), start=1):
            features = factor * self.width
            for stride in (1, 2):
                name = f"conv{stage}_{stride}"
                if stride == 1:
                    layer = Convolution(
                        features, relu=False, kernel_init=_GLOROT, name=name
                    )
                else:
                    layer = nn.Conv(
                        features, (3, 3), stride, kernel_init=_GLOROT, name=name
                    )
                x = nn.leaky_relu(layer(x), _SLOPE)
                if name != "conv1_1":
                    x = batch_norm(train, f"{name}_norm")(x)
        x = nn.leaky_relu(nn.Dense(16 * self.width, name="hidden")(x), _SLOPE)
        return nn.Dense(1, name="output")(x)[..., 0]
