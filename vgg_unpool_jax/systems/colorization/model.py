"""Networks that give grey photos their colours.

| network | |
|---|---|
| `encoder_decoder` | the first of facecompressor, 6,219,538 parameters |
| `vgg16` | its second, a decoder of 1,572,114 parameters on a frozen VGG16 |
| `pyramid` | ours: residual blocks at 1/2 to 1/16 of the size, additive skips, hints |
| `vgg19` | ours: a decoder on a frozen VGG19 with residual blocks and hints |

The first two give a and b at the photo's size, ours logits of the bins of `bins.py` at
a quarter of it.

Source: colourisation notebook of facecompressor (Keras); Zhang et al. 2017 for hints.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.nets.convolution import he_convolution
from vgg_unpool_jax.nets.dropout import Dropout
from vgg_unpool_jax.ops.blocks import (
    blocks_to_channels,
    channels_to_blocks,
    repeat_pixels,
)
from vgg_unpool_jax.systems.colorization.bins import bin_centers

NAMES = ("encoder_decoder", "vgg16", "pyramid", "vgg19")
# Layers of VGG19 that `vgg19` sees, of 1/16, 1/8 and 1/4 of the photo's size.
VGG19_LAYERS = ("block5_conv2", "block4_conv4", "block3_conv4")
# Pixels per position of the outputs of `pyramid` and `vgg19`.
OUTPUT_SCALE = 4
# ab is divided by this in facecompressor's networks, and in hints.
AB_UNIT = 128.0
# Keras' defaults.
_MOMENTUM, _EPSILON = 0.99, 1e-3
_GLOROT = nn.initializers.glorot_uniform()


def _keras_conv(features: int, name: str, *, stride: int = 1) -> nn.Module:
    return nn.Conv(features, (3, 3), stride, kernel_init=_GLOROT, name=name)


class EncoderDecoder(nn.Module):
    """The network `encoder_decoder`; sides are multiples of 8."""

    multiple = 8

    @nn.compact
    def __call__(self, luminance: jax.Array, train: bool = False) -> jax.Array:
        """L (n, h, w, 1) in [0, 100] to ab / 128 (n, h, w, 2).

        Args:
          luminance: as published not scaled.
          train: normalise by the batch and update the running statistics.
        """
        x = nn.relu(_keras_conv(64, "conv1", stride=2)(luminance))
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=_MOMENTUM,
            epsilon=_EPSILON,
            name="norm",
        )(x)
        layers = ((128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 1), (256, 1))
        for number, (features, stride) in enumerate(layers, start=2):
            x = nn.relu(_keras_conv(features, f"conv{number}", stride=stride)(x))
        x = repeat_pixels(nn.relu(_keras_conv(128, "conv9")(x)), 2)
        x = repeat_pixels(nn.relu(_keras_conv(64, "conv10")(x)), 2)
        x = nn.relu(_keras_conv(32, "conv11")(x))
        x = nn.relu(_keras_conv(16, "conv12")(x))
        return repeat_pixels(jnp.tanh(_keras_conv(2, "conv13")(x)), 2)


class FeatureDecoder(nn.Module):
    """The trained part of `vgg16`."""

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Features of block5_pool (n, h, w, 512) to ab / 128 (n, 32 h, 32 w, 2)."""
        x = nn.relu(_keras_conv(256, "conv1")(features))
        for number, width in enumerate((128, 64, 32, 16), start=2):
            x = repeat_pixels(nn.relu(_keras_conv(width, f"conv{number}")(x)), 2)
        return repeat_pixels(jnp.tanh(_keras_conv(2, "conv6")(x)), 2)


class Pyramid(nn.Module):
    """The network `pyramid`; sides are multiples of 16.

    Attributes:
      widths: channels by level, from half of the size on.
      blocks: residual blocks by level, of the second to last but one twice.
    """

    widths: tuple[int, ...] = (32, 64, 112, 168)
    blocks: tuple[int, ...] = (1, 1, 2, 3)

    @property
    def multiple(self) -> int:
        """Sides of inputs are multiples of this number of pixels."""
        return 2 ** len(self.widths)

    @nn.compact
    def __call__(
        self, luminance: jax.Array, hints: jax.Array | None = None
    ) -> jax.Array:
        """Logits of the bins (n, h / 4, w / 4, k).

        Args:
          luminance: (n, h, w, 1) in [0, 100].
          hints: (n, h / 4, w / 4, 3): a and b that are known, and 1 where they are;
            zeros elsewhere.
        """
        n, height, width, _ = luminance.shape
        if hints is None:
            shape = n, height // OUTPUT_SCALE, width // OUTPUT_SCALE, 3
            hints = jnp.zeros(shape, luminance.dtype)
        known = jnp.concatenate([hints[..., :2] / AB_UNIT, hints[..., 2:]], axis=-1)
        x = blocks_to_channels(luminance / 50.0 - 1.0, 2)
        x = he_convolution(self.widths[0], "input", relu=True)(x)
        kept = []
        for level, (features, count) in enumerate(
            zip(self.widths, self.blocks, strict=True)
        ):
            if level:
                kept.append(x)
                x = nn.Dense(features, name=f"halve{level}")(blocks_to_channels(x, 2))
            if level == 1:
                x += nn.Dense(features, use_bias=False, name="hints")(known)
            x = _residual(x, count, f"down{level}")
        for level in range(len(kept) - 1, 0, -1):
            skip = kept[level]
            x = nn.Dense(4 * skip.shape[-1], name=f"double{level}")(x)
            x = channels_to_blocks(x, 2) + skip
            x = _residual(x, self.blocks[level], f"up{level}")
        x = he_convolution(self.widths[1], "last", relu=True)(x)
        return nn.Dense(len(bin_centers()), name="output")(x)


class EncoderPyramid(nn.Module):
    """The trained part of `vgg19`.

    Attributes:
      widths: channels by level, from 1/4 of the size on.
      blocks: residual blocks by level.
      dropout: share of the features' channels that a photo lacks in training.
    """

    widths: tuple[int, ...] = (112, 144, 176)
    blocks: tuple[int, ...] = (2, 2, 2)
    dropout: float = 0.5
    multiple = 16

    @nn.compact
    def __call__(
        self,
        features: tuple[jax.Array, ...],
        hints: jax.Array | None = None,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """Logits of the bins (n, h / 4, w / 4, k).

        Args:
          features: of `VGG19_LAYERS`.
          hints: see `Pyramid`; None for none.
          keys: (n,), for dropout in training; None drops nothing.
        """
        n, height, width, _ = features[-1].shape
        if hints is None:
            hints = jnp.zeros((n, height, width, 3), features[-1].dtype)
        # What is known in each position of each level.
        known = [hints]
        for _ in features[1:]:
            known.append(nn.avg_pool(known[-1], (2, 2), (2, 2)))
        x = None
        for level, layer in zip(
            range(len(features) - 1, -1, -1), features, strict=True
        ):
            channels = self.widths[level]
            size = jnp.mean(jnp.square(layer), axis=-1, keepdims=True)
            layer *= jax.lax.rsqrt(size + 1.0)
            kept = jnp.ones((n, layer.shape[-1]), layer.dtype)
            kept = Dropout(self.dropout, name=f"dropout{level}")(kept, keys)
            layer *= kept[:, None, None]
            seen = nn.Dense(channels, name=f"features{level}")(layer)
            share = known[level][..., 2:]
            told = known[level][..., :2] / AB_UNIT / jnp.maximum(share, 1e-6)
            told = jnp.concatenate([told, jnp.float32(share > 0)], axis=-1)
            seen += nn.Dense(channels, use_bias=False, name=f"hints{level}")(told)
            if x is not None:
                doubled = nn.Dense(4 * channels, name=f"double{level}")(x)
                seen += channels_to_blocks(doubled, 2)
            x = _residual(seen, self.blocks[level], f"up{level}")
        return nn.Dense(len(bin_centers()), name="output")(nn.relu(x))


def _residual(x: jax.Array, count: int, name: str) -> jax.Array:
    for number in range(count):
        width = x.shape[-1]
        inner = he_convolution(width, f"{name}_{number}_1", relu=True)(x)
        x += he_convolution(width, f"{name}_{number}_2", gain=0.1)(inner)
    return x


def make_model(config: ml_collections.ConfigDict) -> nn.Module:
    """The trained network of a config's section `model`."""
    model = config.model
    if model.name not in NAMES:
        raise ConfigError(
            f"model.name must be one of {', '.join(NAMES)}, got {model.name!r}"
        )
    if model.name == "encoder_decoder":
        return EncoderDecoder()
    if model.name == "vgg16":
        return FeatureDecoder()
    widths, blocks = tuple(model.widths), tuple(model.blocks)
    if model.name == "vgg19":
        levels = len(VGG19_LAYERS)
        if not len(widths) == len(blocks) == levels or min(*widths, *blocks) < 1:
            raise ConfigError(
                f"model.widths and model.blocks must be {levels} positive numbers each "
                f"for the network vgg19, got {widths} and {blocks}"
            )
        if not 0 <= model.dropout < 1:
            raise ConfigError(f"model.dropout must be in [0, 1), got {model.dropout}")
        return EncoderPyramid(widths, blocks, model.dropout)
    if len(widths) != len(blocks) or len(widths) < 2 or min(*widths, *blocks) < 1:
        raise ConfigError(
            "model.widths and model.blocks must be as many positive numbers, at least "
            f"two, got {widths} and {blocks}"
        )
    return Pyramid(widths, blocks)
