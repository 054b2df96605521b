"""Networks that enlarge photos.

`fast`, for PSNR at few operations: everything at the photo's own size, then one pixel
shuffle, added to the photo enlarged bicubically.

    photo ─ conv3 ─ blocks × (conv3 ─ conv3, + input) ─ conv3 3 s² ─ shuffle ─┬─ +
      └──────────────────────── bicubic ──────────────────────────────────────┘

`srgan`, the generator of AIDL_Project for ×4:

    photo ─ conv9 64 ─ 16 × (conv3 ─ norm ─ conv3 ─ norm, + input) ─ conv3 ─ norm
    ─ + first layer ─ 2 × (nearest ×2 ─ conv3 256) ─ conv9 3 ─ tanh

Source: `srgan` is the generator of AIDL_Project (Keras) after Ledig et al., "Photo-
Realistic Single Image Super-Resolution Using a Generative Adversarial Network", 2017;
`fast` follows EDSR's blocks without normalisation (Lim et al., 2017).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.nets.convolution import Convolution, he_convolution
from vgg_unpool_jax.ops.blocks import channels_to_blocks, repeat_pixels

NAMES = ("fast", "srgan")
FACTORS = (2, 3, 4, 8)
WHITE = 255.0
# Keras' momentum and epsilon.
_MOMENTUM, _EPSILON = 0.8, 1e-3
_GLOROT = nn.initializers.glorot_uniform()
_SRGAN_BLOCKS, _SRGAN_WIDTH = 16, 64


class FastUpscaler(nn.Module):
    """The network `fast`.

    Attributes:
      factor: of the sides.
      width: channels.
      blocks: residual blocks of two convolutions.
    """

    factor: int
    width: int = 48
    blocks: int = 3

    @property
    def margin(self) -> int:
        """A bound of the distance in pixels from which an output is influenced."""
        return 2 * self.blocks + 2

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """(n, h, w, 3) RGB in [0, 255] to (n, h f, w f, 3), not clipped.

        Args:
          images: the photos.
          train: without effect.
        """
        del train
        x = he_convolution(self.width, "input", relu=True)(images / WHITE - 0.5)
        start = x
        for block in range(self.blocks):
            inner = he_convolution(self.width, f"block{block + 1}_1", relu=True)(x)
            x += he_convolution(self.width, f"block{block + 1}_2", gain=0.1)(inner)
        # A network that has learnt nothing returns the bicubic enlargement.
        output = he_convolution(3 * self.factor**2, "output", gain=0.0)(x + start)
        n, height, width, channels = images.shape
        shape = n, height * self.factor, width * self.factor, channels
        bicubic = jax.image.resize(images, shape, "cubic", antialias=False)
        return bicubic + WHITE * channels_to_blocks(output, self.factor)


class SRGANGenerator(nn.Module):
    """The network `srgan`, for the factor 4."""

    @property
    def margin(self) -> int:
        """A bound of the distance in pixels from which an output is influenced."""
        return 4 + 2 * _SRGAN_BLOCKS + 1 + 4

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """(n, h, w, 3) RGB in [0, 255] to (n, 4 h, 4 w, 3) inside [0, 255].

        Args:
          images: the photos.
          train: normalise by the batch and update the running statistics.
        """
        width = _SRGAN_WIDTH

        def norm(x, name):
            return batch_norm(train, name)(x)

        def conv3(features, name):
            return Convolution(features, relu=False, kernel_init=_GLOROT, name=name)

        def conv9(features, name):
            return nn.Conv(features, (9, 9), kernel_init=_GLOROT, name=name)

        x = nn.relu(conv9(width, "input")(images / (WHITE / 2) - 1.0))
        start = x
        for block in range(_SRGAN_BLOCKS):
            name = f"block{block + 1}"
            inner = nn.relu(conv3(width, f"{name}_1")(x))
            inner = norm(inner, f"{name}_1_norm")
            inner = conv3(width, f"{name}_2")(inner)
            x += norm(inner, f"{name}_2_norm")
        x = start + norm(conv3(width, "middle")(x), "middle_norm")
        for stage in range(2):
            x = repeat_pixels(x, 2)
            x = nn.relu(conv3(4 * width, f"enlarge{stage + 1}")(x))
        return (jnp.tanh(conv9(3, "output")(x)) + 1.0) * (WHITE / 2)


def batch_norm(train: bool, name: str) -> nn.BatchNorm:
    """Batch normalisation with the momentum of AIDL_Project."""
    return nn.BatchNorm(
        use_running_average=not train, momentum=_MOMENTUM, epsilon=_EPSILON, name=name
    )


def make_model(config: ml_collections.ConfigDict) -> nn.Module:
    """The network of a config's section `model`."""
    model = config.model
    if model.name not in NAMES:
        raise ConfigError(
            f"model.name must be one of {', '.join(NAMES)}, got {model.name!r}"
        )
    if model.factor not in FACTORS:
        raise ConfigError(
            f"model.factor must be one of {', '.join(map(str, FACTORS))}, got "
            f"{model.factor}"
        )
    if model.name == "srgan":
        if model.factor != 4:
            raise ConfigError(f"model.factor must be 4 for srgan, got {model.factor}")
        return SRGANGenerator()
    if model.width < 1 or model.blocks < 0:
        raise ConfigError(
            "model.width must be at least 1 and model.blocks at least 0, got "
            f"{model.width} and {model.blocks}"
        )
    return FastUpscaler(model.factor, model.width, model.blocks)
