"""A learned codec of photos: transforms, and what predicts their integers.

The latents have an eighth or a 16th of the photo's height and width. Each transform is
the sum of a linear one of blocks of that many pixels, which may overlap and start as
the principal components of the training photos, and a residual network that starts at
zero: training begins with a working codec. Gains of each channel and quality set the
rates, so that one model has several.

Integers are predicted from three things: a hyper latent with a quarter of the latents'
height and width, the quality, and the integers decoded before, in the order of `steps`.
With `log_context` predictions start from the scale that each channel has on average at
each quality, and the logarithms of integers are inputs beside themselves: what is
predicted most is a logarithm of a scale.
The predictor has ReLU layers that `integer_net` repeats in integer arithmetic.

Source: Ballé et al. 2018 and Minnen et al. 2018 for the hyper latent, He et al. 2022
("ELIC") for groups of channels and checkerboards, Cui et al. 2021 for gains, Yang and
Mandt 2023 for shallow synthesis.
"""

import functools
import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.nets.convolution import Convolution
from vgg_unpool_jax.ops.blocks import blocks_to_channels, channels_to_blocks
from vgg_unpool_jax.systems.codec.lapped import filter_borders

# Latents per hyper latent, in each direction.
RATIO = 4
# Pixels per element of the first level of the residual networks.
_FINEST = 4
GRAY = 128.0

# Predictions are made from integers divided by this, and activations are clipped.
INPUT_SCALE = 4.0
LARGEST_INPUT, LARGEST_ACTIVATION = 1023, 127.0

# What the residual networks work on is about 1.
_PIXEL_SCALE = 64.0
_OUTPUT_SCALE = 16.0
_COMPONENTS = 3  # of the mixture of each hyper channel
_MIDDLE = 30.0  # the index of a scale near 1.5

BOTH = -1  # parity of a step that decodes all positions


def checkerboard(height: int, width: int) -> np.ndarray:
    """(height, width) of 0 and 1 that alternate."""
    return np.add.outer(np.arange(height), np.arange(width)) % 2


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with ReLU between them, added to their input."""

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """(n, h, w, c) to the same."""
        channels = features.shape[-1]
        inner = Convolution(channels, relu=True, name="conv1")(features)
        zeros = nn.initializers.zeros
        outer = Convolution(channels, relu=False, kernel_init=zeros, name="conv2")
        return features + outer(inner)


def stride_of(widths: Sequence[int]) -> int:
    """Pixels per latent of a residual network with these widths."""
    return _FINEST * 2 ** (len(widths) - 1)


class Analysis(nn.Module):
    """Photos to latents.

    Attributes:
      channels: of the latents.
      widths: channels of the residual network at a quarter of the size and at each
        half of it, down to that of the latents.
      depths: numbers of residual blocks there.
      lapped: whether the blocks of the linear transform overlap.
      linear_unit: the linear transform is stored as many times as large; Adam's steps
        change it as much less.
    """

    channels: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    lapped: bool
    linear_unit: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """(n, stride h, stride w, 3) in [0, 255] to (n, h, w, channels)."""
        pixels = images - GRAY
        stride, filtered = stride_of(self.widths), pixels
        if self.lapped:
            matrix = self.param("prefilter", nn.initializers.zeros, (stride, stride))
            filtered = filter_borders(pixels, matrix / self.linear_unit)
        blocks = blocks_to_channels(filtered, stride) / self.linear_unit
        linear = nn.Dense(self.channels, use_bias=False, name="linear")(blocks)
        features = blocks_to_channels(pixels / _PIXEL_SCALE, _FINEST)
        for level, (width, depth) in enumerate(
            zip(self.widths, self.depths, strict=True)
        ):
            if level:
                features = blocks_to_channels(features, 2)
            name = f"level{level + 1}"
            features = Convolution(width, relu=True, name=f"{name}_input")(features)
            for block in range(depth):
                features = ResidualBlock(name=f"{name}_block{block + 1}")(features)
        zeros = nn.initializers.zeros
        output = Convolution(
            self.channels, relu=False, kernel_init=zeros, name="output"
        )
        return linear + _OUTPUT_SCALE * output(features)


class Synthesis(nn.Module):
    """Latents to photos; attributes as in `Analysis`, from the latents on."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    lapped: bool
    linear_unit: int

    @nn.compact
    def __call__(self, latents: jax.Array, rms: jax.Array) -> jax.Array:
        """(n, h, w, c) to (n, stride h, stride w, 3), not clipped.

        Args:
          latents: (n, h, w, c).
          rms: (c,), the usual magnitude of each channel.
        """
        stride = stride_of(self.widths)
        dense = nn.Dense(3 * stride**2, name="linear")
        linear = channels_to_blocks(dense(latents / self.linear_unit), stride)
        if self.lapped:
            matrix = self.param("postfilter", nn.initializers.zeros, (stride, stride))
            linear = filter_borders(linear, matrix / self.linear_unit)
        features = latents / rms
        for level, (width, depth) in enumerate(
            zip(self.widths, self.depths, strict=True)
        ):
            if level:
                features = channels_to_blocks(features, 2)
            name = f"level{level + 1}"
            features = Convolution(width, relu=True, name=f"{name}_input")(features)
            for block in range(depth):
                features = ResidualBlock(name=f"{name}_block{block + 1}")(features)
            if level < len(self.widths) - 1:
                # The first has no number, as in released codecs.
                name = f"level{level + 1}_enlarge" if level else "enlarge"
                wide = 4 * self.widths[level + 1]
                features = Convolution(wide, relu=True, name=name)(features)
        zeros = nn.initializers.zeros
        colors = 3 * _FINEST**2
        output = Convolution(colors, relu=False, kernel_init=zeros, name="output")
        residual = channels_to_blocks(output(features), _FINEST)
        return GRAY + linear + _PIXEL_SCALE * residual


class HyperAnalysis(nn.Module):
    """Scaled latents to the hyper latent."""

    channels: int
    width: int

    @nn.compact
    def __call__(self, scaled: jax.Array) -> jax.Array:
        """(n, 4 h, 4 w, c) to (n, h, w, channels), not rounded."""
        features = jnp.clip(scaled / INPUT_SCALE, -64.0, 64.0)
        features = Convolution(self.width, relu=True, name="input")(features)
        features = blocks_to_channels(features, 2)
        features = Convolution(self.width, relu=True, name="half")(features)
        features = blocks_to_channels(features, 2)
        return 4.0 * nn.Dense(self.channels, name="output")(features)


class FixedPointConv(nn.Module):
    """A convolution whose computation `integer_net` repeats in integers.

    Attributes:
      features: number of output channels.
      size: side of the kernel, 1 or 3, with zero padding.
    """

    features: int
    size: int
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, arrays: jax.Array) -> jax.Array:
        """(n, h, w, c) to (n, h, w, features)."""
        if self.size == 3:
            layer = Convolution(
                self.features,
                relu=False,
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
                name="conv",
            )
        else:
            layer = nn.Dense(
                self.features,
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
                name="conv",
            )
        return layer(arrays)


def fixed_point_relu(arrays: jax.Array) -> jax.Array:
    """ReLU that is clipped at the largest number of `integer_net`."""
    return jnp.clip(arrays, 0.0, LARGEST_ACTIVATION)


class HyperSynthesis(nn.Module):
    """Integers of the hyper latent to features for the prediction.

    Attributes:
      features: number of channels of the output.
      num_qualities: of the model.
    """

    features: int
    num_qualities: int

    @nn.compact
    def __call__(self, hyper: jax.Array, quality: jax.Array) -> jax.Array:
        """(n, h, w, channels) and (n,) to (n, 4 h, 4 w, features)."""
        init = nn.initializers.normal(0.1)
        shape = (self.num_qualities, self.features)
        bias = self.param("quality_bias", init, shape, jnp.float32)
        x = hyper / INPUT_SCALE
        x = FixedPointConv(4 * self.features, 3, name="layer1")(x)
        x = channels_to_blocks(fixed_point_relu(x), 2)
        x = FixedPointConv(4 * self.features, 1, name="layer2")(x)
        x = channels_to_blocks(fixed_point_relu(x), 2)
        x = FixedPointConv(self.features, 3, name="layer3")(x)
        return fixed_point_relu(x + bias[quality][:, None, None])


class Predictor(nn.Module):
    """Features and decoded integers to means and scales of the next ones.

    Attributes:
      features: number of hidden channels.
      channels: number of predicted ones.
      middle: index of the scale that a new predictor predicts.
    """

    features: int
    channels: int
    middle: float

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """(n, h, w, c) to (n, h, w, 2 channels): means, then indices of scales."""
        x = FixedPointConv(self.features, 3, name="layer1")(inputs)
        x = FixedPointConv(self.features, 1, name="layer2")(fixed_point_relu(x))

        def bias(key, shape, dtype=jnp.float32):
            del key
            middle = jnp.full(shape[0] // 2, self.middle, dtype)
            return jnp.concatenate([jnp.zeros_like(middle), middle])

        small = nn.initializers.normal(0.01)
        last = FixedPointConv(
            2 * self.channels, 1, bias_init=bias, kernel_init=small, name="layer3"
        )
        return last(fixed_point_relu(x))


class Codec(nn.Module):
    """The whole model.

    Attributes:
      groups: number of channels of each group that is decoded together; their sum is
        the number of channels of the latents.
      checkerboards: number of groups, from the first on, that are decoded in two
        halves, the second of which is predicted from the first.
      widths: channels of the residual networks at a quarter, an eighth and so on of the
        size. The last one is that of the latents: two have 8 pixels per latent, three
        have 16.
      analysis_depths: residual blocks of the analysis, in the same order.
      synthesis_depths: residual blocks of the synthesis.
      hyper_channels: channels of the hyper latent.
      hyper_width: channels inside the network that makes it.
      predictor_features: channels of the predictors.
      num_qualities: number of qualities.
      lapped: see `Analysis`.
      linear_unit: see `Analysis`.
      log_context: see above.
    """

    groups: tuple[int, ...]
    checkerboards: int
    widths: tuple[int, ...]
    analysis_depths: tuple[int, ...]
    synthesis_depths: tuple[int, ...]
    hyper_channels: int
    hyper_width: int
    predictor_features: int
    num_qualities: int
    # Absent in codecs that are older than these.
    lapped: bool = False
    linear_unit: int = 1
    log_context: bool = False

    @property
    def stride(self) -> int:
        """Pixels per latent, in each direction."""
        return stride_of(self.widths)

    @property
    def hyper_stride(self) -> int:
        """Pixels per hyper latent."""
        return RATIO * self.stride

    @property
    def channels(self) -> int:
        """Number of channels of the latents."""
        return sum(self.groups)

    @property
    def steps(self) -> tuple[tuple[int, int, int], ...]:
        """The order of decoding: (first channel, end, parity or BOTH)."""
        return decoding_steps(self.groups, self.checkerboards)

    @property
    def reach(self) -> int:
        """Latents around a part of a photo that its coding depends on, at most.

        A multiple of the ratio to the hyper latent. In units of latents a convolution
        reaches the size of an element of its level: 1 at that of the latents, half as
        much at the one before. A residual block has two; the synthesis has two at its
        last level beside them. The hyper analysis reaches three.
        """
        sizes = [2.0**-level for level in range(len(self.widths))][::-1]

        def blocks(depths):
            pairs = zip(sizes, depths, strict=True)
            return sum(size * (1 + 2 * depth) for size, depth in pairs)

        analysis = blocks(self.analysis_depths) + 1
        synthesis = blocks(self.synthesis_depths) + sum(sizes)
        return RATIO * math.ceil(max(analysis, synthesis, 3) / RATIO)

    def setup(self):
        """Make the parts."""
        linear = self.lapped, self.linear_unit
        self.analysis = Analysis(
            self.channels, self.widths, self.analysis_depths, *linear
        )
        self.synthesis = Synthesis(
            self.widths[::-1], self.synthesis_depths[::-1], *linear
        )
        self.hyper_analysis = HyperAnalysis(self.hyper_channels, self.hyper_width)
        self.hyper_synthesis = HyperSynthesis(
            self.predictor_features, self.num_qualities
        )
        middle = 0.0 if self.log_context else _MIDDLE
        self.predictors = [
            Predictor(self.predictor_features, end - first, middle)
            for first, end, _ in self.steps
        ]
        shape = (self.num_qualities, self.channels)
        zeros = nn.initializers.zeros
        self.log_gain = self.param("log_gain", zeros, shape, jnp.float32)
        self.log_step = self.param("log_step", zeros, shape, jnp.float32)
        if self.log_context:
            start = nn.initializers.constant(_MIDDLE)
            self.base_index = self.param("base_index", start, shape, jnp.float32)
        shape = (self.num_qualities, self.hyper_channels, _COMPONENTS)
        self.hyper_logits = self.param("hyper_logits", zeros, shape, jnp.float32)
        spread = nn.initializers.normal(1.0)
        self.hyper_means = self.param("hyper_means", spread, shape, jnp.float32)
        self.hyper_log_scales = self.param(
            "hyper_log_scales", zeros, shape, jnp.float32
        )
        self.rms = self.variable(
            "statistics", "rms", lambda: jnp.ones(self.channels, jnp.float32)
        )

    def __call__(self, images: jax.Array, quality: jax.Array):
        """Touch every parameter, to initialise them."""
        scaled = self.encode(images, quality)
        hyper = self.encode_hyper(scaled)
        self.predict(jnp.round(hyper), jnp.round(scaled), quality)
        return self.decode(scaled, quality)

    def encode(self, images: jax.Array, quality: jax.Array) -> jax.Array:
        """Photos to latents in units of their quantisation step.

        Args:
          images: (n, stride h, stride w, 3) RGB in [0, 255].
          quality: int32 (n,), from 0.

        Returns:
          (n, h, w, channels), not rounded.
        """
        gain = jnp.exp(self.log_gain[quality])[:, None, None]
        return self.analysis(images) * gain

    def decode(self, integers: jax.Array, quality: jax.Array) -> jax.Array:
        """The inverse of `encode`, not clipped."""
        step = jnp.exp(self.log_step[quality])[:, None, None]
        return self.synthesis(integers * step, self.rms.value)

    def encode_hyper(self, scaled: jax.Array) -> jax.Array:
        """The hyper latent (n, h, w, hyper_channels), not rounded."""
        return self.hyper_analysis(scaled)

    def hyper_density(self, quality: jax.Array) -> tuple[jax.Array, ...]:
        """Arguments of `entropy.mixture_bits` for the hyper latents of photos."""
        parameters = (self.hyper_logits, self.hyper_means, self.hyper_log_scales)
        return tuple(array[quality][:, None, None] for array in parameters)

    def predict(
        self, hyper: jax.Array, integers: jax.Array, quality: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Means of all latents, and indices of their scales, as when decoded in turn.

        Args:
          hyper: integers of the hyper latent.
          integers: (n, h, w, channels), integers of the latents; h and w may be less
            than four times those of the hyper latent.
          quality: int32 (n,).

        Returns:
          means and real-valued indices, (n, h, w, channels) each.
        """
        height, width = integers.shape[1:3]
        features = self.hyper_synthesis(hyper, quality)[:, :height, :width]
        limit = float(LARGEST_INPUT)
        clipped = jnp.clip(integers, -limit, limit)
        context = clipped / INPUT_SCALE
        logs = jnp.log2(1 + jnp.abs(clipped)) if self.log_context else None
        odd = checkerboard(height, width)[None, :, :, None]
        means, indices, half = [], [], None
        for predictor, (first, end, parity) in zip(
            self.predictors, self.steps, strict=True
        ):
            parts = [features]
            for array in (context, logs):
                if array is None:
                    continue
                parts.append(array[..., :first])
                if parity == 1:
                    parts.append(jnp.where(odd, 0.0, array[..., first:end]))
            output = predictor(jnp.concatenate(parts, axis=-1))
            if parity == 0:
                half = output
                continue
            if parity == 1:
                output = jnp.where(odd, output, half)
            mean, index = jnp.split(output, 2, axis=-1)
            means.append(mean)
            indices.append(index)
        indices = jnp.concatenate(indices, axis=-1)
        if self.log_context:
            indices += self.base_index[quality][:, None, None]
        return jnp.concatenate(means, axis=-1), indices


@functools.cache
def decoding_steps(
    groups: Sequence[int], checkerboards: int
) -> tuple[tuple[int, int, int], ...]:
    """See `Codec.steps`."""
    steps, first = [], 0
    for group, channels in enumerate(groups):
        parities = (0, 1) if group < checkerboards else (BOTH,)
        steps += [(first, first + channels, parity) for parity in parities]
        first += channels
    return tuple(steps)
