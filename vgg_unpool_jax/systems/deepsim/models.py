"""Generators and discriminator of DeePSiM.

Autoencoder, for sides that are multiples of 8 (8×8×8 numbers for 64²):

    conv5/2 32, conv3 32, conv5/2 64, conv3 64, conv3/2 128, conv3 128, conv3 64,
    conv3 8 = the code
    conv3 64, conv3 128, up 64, conv3 64, up 32, conv3 32, up 16, conv3 3

Generators that invert a layer of a pretrained network whose features are at a 2^k-th of
the image's size: three 3×3 convolutions, then the last k doublings of the published
stack

    up 256, conv3 512 | up 256, conv3 256 | up 128, conv3 128 | up 64 | up 32 | up 3

"up" is a 4×4 transposed convolution of stride 2. Leaky ReLU of slope 0.3 follows all
but the last layers of encoder and decoder. Generators have no biases after their
convolutions of features. Where features have fewer positions than a 2^k-th of the image
(AlexNet does not pad all it sees), zeros are added below and right.

The published generator of AlexNet's pool5 (`published`) makes 4×4 of 6×6 positions by
one convolution that does not pad, 256² pixels, and cuts out the middle 227²: 12,700,672
parameters.

The discriminator has a stride of 4 in its first layer, 2 for images below 128 pixels:

    conv7/s 32, conv5 64, conv3/2 128, conv3 256, conv3/2 256, mean, dense 512, dense 2

without padding, with ReLU and dropout of 0.5 before each dense layer.

Source: Dosovitskiy and Brox, 2016; the released generators of
Evolving-AI-Lab/synthesizing, the training program of KamitaniLab with its
discriminator, and shijx12/DeepSim for 64 pixels. Ours: widths of generators for other
layers than pool5, and a linear code.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.nets.dropout import Dropout
from vgg_unpool_jax.systems.deepsim.layers import Layer, Stack, scaled, up

# Images are in [0, 255] outside and in [-1, 1] inside.
HALF_RANGE = 127.5
# Collection of values that are measured on data, not trained.
STATISTICS = "statistics"
CODE_STRIDE = 8

_ENCODER = (
    *(Layer(32, 5, 2), Layer(32), Layer(64, 5, 2), Layer(64)),
    *(Layer(128, 3, 2), Layer(128), Layer(64), Layer(8)),
)
_DECODER = (
    *(Layer(64), Layer(128), up(64), Layer(64), up(32), Layer(32), up(16), Layer(3)),
)
# By doubling, from the coarsest to the image.
_DOUBLINGS = (
    (up(256), Layer(512)),
    (up(256), Layer(256)),
    (up(128), Layer(128)),
    (up(64),),
    (up(32),),
    (up(3),),
)
# Channels of the three convolutions of features, by stride.
_HEADS = {1: 64, 2: 128, 4: 128, 8: 256, 16: 512, 32: 512, 64: 512}
_DISCRIMINATOR = (
    *(Layer(32, 7, 4, True), Layer(64, 5, 1, True), Layer(128, 3, 2, True)),
    *(Layer(256, 3, 1, True), Layer(256, 3, 2, True)),
)
_PUBLISHED_STRIDE, _PUBLISHED_SIDE = 64, 227
# Smallest image with the stride 4, and with the stride 2.
_COARSE_SIDE, _SMALLEST_SIDE = 128, 35


class Autoencoder(nn.Module):
    """Encoder and decoder with a small code.

    Attributes:
      width: factor of the channels, those of the code excepted.
    """

    width: float = 1.0

    def setup(self):
        """Make both networks."""
        *inner, code = _ENCODER
        self.encoder = Stack((*scaled(tuple(inner), self.width), code), linear_end=True)
        self.decoder = Stack(scaled(_DECODER, self.width), linear_end=True)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images to reconstructions."""
        return self.decode(self.encode(images), images.shape[1:3])

    def encode(self, images: jax.Array) -> jax.Array:
        """(n, h, w, 3) in [0, 255] to codes (n, h/8, w/8, 8)."""
        require_image("images", images, 4)
        if images.shape[1] % CODE_STRIDE or images.shape[2] % CODE_STRIDE:
            raise ValueError(
                f"images for this autoencoder must have sides that are multiples of "
                f"{CODE_STRIDE}, got {images.shape[1]}×{images.shape[2]}"
            )
        return self.encoder(images / HALF_RANGE - 1.0)

    def decode(self, codes: jax.Array, size: tuple[int, int]) -> jax.Array:
        """Codes to images (n, h, w, 3) on the scale of [0, 255]."""
        del size
        return (self.decoder(codes) + 1.0) * HALF_RANGE


class Generator(nn.Module):
    """Features of a pretrained network to images.

    Attributes:
      stride: pixels per position of the features, a power of two.
      width: factor of the channels.
      published: the generator of AlexNet's pool5 as published.
    """

    stride: int
    width: float = 1.0
    published: bool = False

    @nn.compact
    def decode(self, features: jax.Array, size: tuple[int, int]) -> jax.Array:
        """Generate images.

        Args:
          features: (n, h', w', c); their root mean square by channel, a variable of the
            collection "statistics", divides them.
          size: height and width of the images.

        Returns:
          (n, h, w, 3) on the scale of [0, 255], not clipped.
        """
        shape = (features.shape[-1],)
        rms = self.variable(STATISTICS, "feature_rms", jnp.ones, shape, jnp.float32)
        x = features.astype(jnp.float32) / rms.value[None, None, None]
        stride = _PUBLISHED_STRIDE if self.published else self.stride
        head = (Layer(_HEADS[stride]),) * 3
        if self.published:
            head = (*head[:2], head[2]._replace(valid=True))
            if x.shape[1:3] != (6, 6) or size != (_PUBLISHED_SIDE,) * 2:
                raise ValueError(
                    f"the published generator makes {_PUBLISHED_SIDE}² pixels of 6×6 "
                    f"positions, got {features.shape} and {size}"
                )
        else:
            below, right = (
                -(-side // stride) - cells
                for side, cells in zip(size, x.shape[1:3], strict=True)
            )
            if min(below, right) < 0:
                raise ValueError(
                    f"features {features.shape} have more positions than images of "
                    f"{size[0]}×{size[1]} at 1/{stride} of the size"
                )
            x = jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0)))
        x = Stack(scaled(head, self.width), name="head")(x)
        doublings = _DOUBLINGS[len(_DOUBLINGS) - (stride.bit_length() - 1) :]
        layers = [layer for doubling in doublings for layer in doubling] or [Layer(3)]
        x = Stack(
            scaled(tuple(layers), self.width),
            use_bias=False,
            linear_end=True,
            name="stack",
        )(x)
        top = (x.shape[1] - size[0]) // 2 if self.published else 0
        left = (x.shape[2] - size[1]) // 2 if self.published else 0
        x = x[:, top : top + size[0], left : left + size[1]]
        return (x + 1.0) * HALF_RANGE


class Discriminator(nn.Module):
    """Logits of "real" and "fake".

    Attributes:
      width: factor of the channels.
      dropout: rate before each dense layer.
    """

    width: float = 1.0
    dropout: float = 0.5

    @nn.compact
    def __call__(self, images: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """(n, h, w, 3) in [0, 255] to (n, 2); with keys (n,) values are dropped."""
        side = min(images.shape[1:3])
        if side < _SMALLEST_SIDE:
            raise ValueError(
                f"images for the discriminator must have sides of at least "
                f"{_SMALLEST_SIDE} pixels, got {images.shape[1]}×{images.shape[2]}"
            )
        first, *others = scaled(_DISCRIMINATOR, self.width)
        if side < _COARSE_SIDE:
            first = first._replace(stride=2)
        x = images / HALF_RANGE - 1.0
        x = Stack((first, *others), slope=0.0, name="features")(x)
        x = jnp.mean(x, axis=(1, 2))
        hidden = max(4, round(512 * self.width))
        he = nn.initializers.he_normal()
        x = Dropout(self.dropout, name="dropout1")(x, keys)
        x = nn.relu(nn.Dense(hidden, kernel_init=he, name="dense1")(x))
        x = Dropout(self.dropout, name="dropout2")(x, keys)
        # Small, so that it begins undecided.
        small = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        return nn.Dense(2, kernel_init=small, name="dense2")(x)
