"""The decoder that mirrors a VGG19 encoder and unpools with its switches.

Every convolution of the encoder has a mirror: 3×3, zero padding, from the encoder
layer's output channels back to its input channels, so that the mirror of
block(k+1)_conv1 reduces to the channels of pool k. ReLU follows each except the last,
which is linear and gives RGB.

    features ─ block2_conv2 ─ block2_conv1 ─ unpool1 ─ block1_conv2 ─ block1_conv1 ─ RGB
                 128→128        128→64       switches     64→64          64→3

To measure the benefit of the switches, the decoder can use nearest neighbours or a
transposed convolution instead of unpooling.

Source: the VGG19 unpooling encoder-decoder collection (decoders "mirror the layout of
their corresponding encoders"), PhotoWCT (arXiv 1802.06474).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from vgg_unpool_jax.errors import ConfigError, first_line
from vgg_unpool_jax.nets.convolution import AUTO, BLOCK_INPUT, Convolution, zero_beyond
from vgg_unpool_jax.nets.transposed_convolution import TransposedConvolution
from vgg_unpool_jax.nets.vgg19_layers import (
    CHANNELS_PER_BLOCK,
    check_block,
    convolutions_up_to,
)
from vgg_unpool_jax.ops.blocks import repeat_pixels
from vgg_unpool_jax.ops.pooling import max_unpool

# Ways to double the sides of the features; only "unpool" uses the switches.
UPSAMPLINGS = ("unpool", "nearest", "transposed")

# Collection of values that are measured on data, not trained.
STATISTICS = "statistics"


class UnpoolingDecoder(nn.Module):
    """Mirror of `VGG19Encoder(block)`.

    Raw VGG features have channel RMS of 1 to 10^4, and RGB has a range of 255, neither
    of which suits He-initialised convolutions. The three optional attributes scale both
    to about one. They add no parameter and no expressiveness: they could be folded into
    the first and the last kernel.

    Attributes:
      block: 1 to 5.
      normalize_features: divide each input channel by its RMS over training photos,
        stored in the collection "statistics" (ones until it is measured).
      output_scale: factor on the last convolution's output.
      initial_output: grey level in [0, 255] that the initial last bias gives.
      upsampling: one of `UPSAMPLINGS`. "transposed" is a transposed convolution of 2×2
        and stride 2 from c to c channels with bias, named "transposedK" for pool K,
        with 4c² + c parameters.
      dtype: of activations and products; parameters and images are float32.
      convolution: an implementation of `ops.convolution.convolve`, or "auto".
    """

    block: int
    normalize_features: bool = False
    output_scale: float = 1.0
    initial_output: float = 0.0
    upsampling: str = "unpool"
    dtype: jnp.dtype = jnp.float32
    convolution: str = AUTO

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        switches: Sequence[jax.Array],
        size: jax.Array | None = None,
    ) -> tuple[jax.Array, dict]:
        """Decode features.

        Args:
          features: (n, h/2^(block-1), w/2^(block-1), c).
          switches: block - 1 uint8 arrays, of pools 1..block-1 in this order.
          size: None, or height and width of the image, beyond which features are
            padding that must have no effect, as in `VGG19Encoder`.

        Returns:
          images: (n, h, w, 3) float32 RGB on the scale of [0, 255], not clipped.
          intermediates: the output of every convolution (after ReLU) and unpooling by
            name, such as "block2_conv1" and "unpool1".
        """
        if self.upsampling not in UPSAMPLINGS:
            raise ValueError(
                f"upsampling must be one of {', '.join(UPSAMPLINGS)}, got "
                f"{self.upsampling!r}"
            )
        check_decoder_inputs(features.shape, switches, self.block)
        outputs = features
        if self.normalize_features:
            rms = self.variable(
                STATISTICS, "feature_rms", jnp.ones, (features.shape[-1],), jnp.float32
            )
            outputs = features.astype(jnp.float32) / rms.value[None, None, None]
        outputs = outputs.astype(self.dtype)
        layers = convolutions_up_to(self.block)
        intermediates, previous = {}, self.block
        for layer in reversed(layers):
            if layer.block != previous:
                outputs = checkpoint_name(outputs, BLOCK_INPUT)
                outputs = self._upsample(outputs, layer.block, switches)
                if self.upsampling == "transposed":  # whose bias is everywhere
                    outputs = zero_beyond(outputs, size, 2 ** (layer.block - 1))
                intermediates[f"unpool{layer.block}"] = outputs
                previous = layer.block
            last = layer is layers[0]
            outputs = Convolution(
                layer.inputs,
                not last,
                self.convolution,
                kernel_init=nn.initializers.he_normal(),
                bias_init=nn.initializers.constant(
                    self.initial_output / self.output_scale if last else 0.0
                ),
                name=layer.name,
            )(outputs)
            outputs = zero_beyond(outputs, size, 2 ** (layer.block - 1))
            intermediates[layer.name] = outputs
        return outputs.astype(jnp.float32) * self.output_scale, intermediates

    def _upsample(self, outputs, block, switches):
        if self.upsampling == "unpool":
            return max_unpool(outputs, switches[block - 1])
        if self.upsampling == "nearest":
            return repeat_pixels(outputs, 2)
        # Four taps count as inputs, of which an output pixel meets one.
        init = nn.initializers.variance_scaling(4.0, "fan_in", "normal")
        channels, name = outputs.shape[-1], f"transposed{block}"
        return TransposedConvolution(channels, 2, (1, 1), init, name=name)(outputs)


def measure_feature_rms(features: jax.Array) -> jax.Array:
    """Root mean square of each channel.

    Args:
      features: (n, h, w, c).

    Returns:
      (c,), floored at a thousandth of the largest channel so that a channel that is
      silent on the measured photos is not blown up on others.
    """
    return floored_rms(mean_squares(features))


def mean_squares(features: jax.Array) -> jax.Array:
    """Mean square of each channel: (n, h, w, c) to (c,) float32."""
    return jnp.mean(jnp.square(features.astype(jnp.float32)), axis=(0, 1, 2))


def floored_rms(squares: jax.Array) -> jax.Array:
    """Root of mean squares (c,), floored as `measure_feature_rms` says."""
    rms = jnp.sqrt(squares)
    return jnp.maximum(rms, jnp.maximum(1e-3 * jnp.max(rms), 1e-6))


def check_decoder_inputs(shape, switches, block: int) -> None:
    """Raise `ValueError` unless features of `shape` and switches fit the decoder."""
    channels = CHANNELS_PER_BLOCK[check_block(block) - 1]
    if len(shape) != 4 or shape[3] != channels:
        raise ValueError(
            f"features for a decoder of block {block} must have shape "
            f"(n, height, width, {channels}), got {tuple(shape)}"
        )
    if len(switches) != block - 1:
        raise ValueError(
            f"switches for a decoder of block {block} must be {block - 1} arrays, got "
            f"{len(switches)}"
        )
    n, height, width, _ = shape
    for pool in range(1, block):
        scale = 2 ** (block - 1 - pool)
        wanted = (n, height * scale, width * scale, CHANNELS_PER_BLOCK[pool - 1])
        if tuple(switches[pool - 1].shape) != wanted:
            raise ValueError(
                f"switches of pool {pool} must have shape {wanted}, got "
                f"{tuple(switches[pool - 1].shape)}"
            )


def decoder_shapes(
    block: int, section: Mapping[str, Any], holder: str = "the config"
) -> dict[str, tuple[int, ...]]:
    """Shapes of a decoder's variables by names such as "params/block1_conv1/kernel".

    Args:
      block: 1 to 5.
      section: the section "decoder" of a config: fields of `UnpoolingDecoder`.
      holder: of the section, for messages.
    """
    try:
        decoder = UnpoolingDecoder(check_block(block), **section)
        # Features of one pixel are the smallest possible input.
        pixel = (1, 1, 1, CHANNELS_PER_BLOCK[block - 1])
        features = jax.ShapeDtypeStruct(pixel, jnp.float32)
        sides = [2 ** (block - 1 - pool) for pool in range(1, block)]
        switches = tuple(
            jax.ShapeDtypeStruct((1, side, side, channels), jnp.uint8)
            for side, channels in zip(sides, CHANNELS_PER_BLOCK, strict=False)
        )
        shapes = jax.eval_shape(decoder.init, jax.random.key(0), features, switches)
    # Flax answers a field of the wrong type with whatever its use in the module raises.
    except Exception as error:
        raise ConfigError(
            f"{holder} describes no decoder of block {block!r} ({first_line(error)})"
        ) from error
    flat = flax.traverse_util.flatten_dict(shapes, sep="/")
    return {name: tuple(leaf.shape) for name, leaf in flat.items()}
