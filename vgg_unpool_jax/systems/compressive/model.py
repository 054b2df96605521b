"""The compressive autoencoder, as its program has it and as its paper does.

`code`, with H channels of latents at an eighth of the size; all paddings repeat the
edge, batch normalisation and LeakyReLU (0.01) follow each convolution but the last of
each half:

    conv5/2 64 ─ conv5/2 128 ─ 4 × (conv3 128, + input) ─ conv5/2 H
    conv3 2048 ─ shuffle ─ conv3 128 ─ 3 × (conv3 128, + input) ─ conv3 1024 ─ shuffle
    ─ conv3 12 ─ shuffle ─ clip to [-1, 1]

`paper` has no normalisation but a fixed one of the pixels, mirrored borders of 14
pixels, residual blocks of two convolutions, and 512 and 256 channels before the
shuffles:

    conv5/2 64 ─ conv5/2 128 ─ 3 × (conv3 128 ─ conv3 128, + input) ─ conv5/2 H
    conv3 512 ─ shuffle ─ 3 × (conv3 128 ─ conv3 128, + input) ─ conv3 256 ─ shuffle
    ─ conv3 12 ─ shuffle ─ clip

Source: the program facecompressor (PyTorch); Theis et al., "Lossy Image Compression
with Compressive Autoencoders", ICLR 2017.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.ops.blocks import blocks_to_channels
from vgg_unpool_jax.ops.convolution import convolve

FORMS = ("code", "paper")
CLIPS = ("hard", "identity")
# Pixels per latent.
STRIDE = 8

_BORDER = 14  # of the paper: unpadded convolutions then end at an eighth of the size
# Mean and standard deviation of ImageNet's photos in RGB, for the paper's form.
_MEAN = np.array([123.68, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.40, 57.12, 57.38], np.float32)
# Torch's defaults: its momentum 0.1 is the weight of the new batch.
_MOMENTUM, _EPSILON = 0.9, 1e-5
_KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class UnpaddedConv(nn.Module):
    """3×3 convolution with stride 1, or 5×5 with stride 2, without padding.

    Computed by the fastest 3×3 convolution of the platform: at stride 2 a kernel of 5×5
    pixels is one of 3×3 blocks of 2×2 pixels.
    """

    features: int
    size: int = 3

    @nn.compact
    def __call__(self, arrays: jax.Array) -> jax.Array:
        """(n, h + 2, w + 2, c) to (n, h, w, features); of size 5 twice h + 2, w + 2."""
        channels = arrays.shape[-1]
        shape = (self.size, self.size, channels, self.features)
        kernel = self.param("kernel", _KERNEL_INIT, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        if self.size == 5:
            arrays = blocks_to_channels(arrays, 2)
            kernel = jnp.pad(kernel, [(0, 1), (0, 1), (0, 0), (0, 0)])
            kernel = kernel.reshape(3, 2, 3, 2, channels, self.features)
            kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
            kernel = kernel.reshape(3, 3, 4 * channels, self.features)
        return convolve(arrays, kernel, bias)[:, 1:-1, 1:-1]


def pixel_shuffle(arrays: jax.Array) -> jax.Array:
    """(n, h, w, 4 c) to (n, 2 h, 2 w, c), channels in the order of torch."""
    n, height, width, channels = arrays.shape
    arrays = arrays.reshape(n, height, width, channels // 4, 2, 2)
    arrays = arrays.transpose(0, 1, 4, 2, 5, 3)
    return arrays.reshape(n, 2 * height, 2 * width, channels // 4)


def _pad(arrays: jax.Array, amount: int, mode: str) -> jax.Array:
    return jnp.pad(arrays, [(0, 0), (amount, amount), (amount, amount), (0, 0)], mode)


class _EdgeLayer(nn.Module):
    """Convolution with repeated edges, optional shuffle, normalisation, LeakyReLU."""

    features: int
    size: int = 3
    shuffle: bool = False

    @nn.compact
    def __call__(self, arrays: jax.Array, train: bool) -> jax.Array:
        padded = _pad(arrays, self.size // 2, "edge")
        arrays = UnpaddedConv(self.features, self.size, name="conv")(padded)
        if self.shuffle:
            arrays = pixel_shuffle(arrays)
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=_MOMENTUM,
            epsilon=_EPSILON,
            name="norm",
        )
        return nn.leaky_relu(norm(arrays))


class _PaperBlock(nn.Module):
    """Two convolutions with zero padding, added to their input."""

    features: int

    @nn.compact
    def __call__(self, arrays: jax.Array) -> jax.Array:
        conv = UnpaddedConv(self.features, name="conv1")
        inner = nn.leaky_relu(conv(_pad(arrays, 1, "constant")))
        conv = UnpaddedConv(self.features, name="conv2")
        return arrays + conv(_pad(inner, 1, "constant"))


class Encoder(nn.Module):
    """Photos (n, 8 h, 8 w, 3) in [0, 255] to latents (n, h, w, channels)."""

    channels: int
    form: str

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """`train` normalises by the batch and updates the running statistics."""
        if self.form == "paper":
            arrays = _pad((images - _MEAN) / _DEVIATION, _BORDER, "reflect")
            for index, features in enumerate((64, 128), start=1):
                conv = UnpaddedConv(features, 5, name=f"conv{index}")
                arrays = nn.leaky_relu(conv(arrays))
            for index in range(3):
                arrays = _PaperBlock(128, name=f"block{index + 1}")(arrays)
            return UnpaddedConv(self.channels, 5, name="output")(arrays)
        arrays = images / 255.0
        for index, features in enumerate((64, 128), start=1):
            arrays = _EdgeLayer(features, 5, name=f"layer{index}")(arrays, train)
        for index in range(4):
            layer = _EdgeLayer(128, name=f"block{index + 1}")
            arrays = arrays + layer(arrays, train)
        padded = _pad(arrays, 2, "edge")
        return UnpaddedConv(self.channels, 5, name="output")(padded)


class Decoder(nn.Module):
    """Latents (n, h, w, channels) to photos (n, 8 h, 8 w, 3) in [0, 255]."""

    form: str
    clip: str

    @nn.compact
    def __call__(self, latents: jax.Array, train: bool = False) -> jax.Array:
        """`train` normalises by the batch and updates the running statistics."""
        if self.form == "paper":
            conv = UnpaddedConv(512, name="conv1")
            arrays = nn.leaky_relu(pixel_shuffle(conv(_pad(latents, 1, "constant"))))
            for index in range(3):
                arrays = _PaperBlock(128, name=f"block{index + 1}")(arrays)
            conv = UnpaddedConv(256, name="conv2")
            arrays = nn.leaky_relu(pixel_shuffle(conv(_pad(arrays, 1, "constant"))))
            conv = UnpaddedConv(12, name="output")
            arrays = pixel_shuffle(conv(_pad(arrays, 1, "constant")))
            return _clip(arrays * _DEVIATION + _MEAN, 0.0, 255.0, self.clip)
        arrays = _EdgeLayer(2048, shuffle=True, name="enlarge1")(latents, train)
        arrays = _EdgeLayer(128, name="layer")(arrays, train)
        for index in range(3):
            layer = _EdgeLayer(128, name=f"block{index + 1}")
            arrays = arrays + layer(arrays, train)
        arrays = _EdgeLayer(1024, shuffle=True, name="enlarge2")(arrays, train)
        padded = _pad(arrays, 1, "edge")
        arrays = pixel_shuffle(UnpaddedConv(12, name="output")(padded))
        return 127.5 * (_clip(arrays, -1.0, 1.0, self.clip) + 1.0)


def _clip(arrays, low, high, clip):
    clipped = jnp.clip(arrays, low, high)
    if clip == "hard":
        return clipped
    return arrays + jax.lax.stop_gradient(clipped - arrays)


class CompressiveAutoencoder(nn.Module):
    """Encoder and decoder; the quantiser is between them.

    Attributes:
      channels: of the latents.
      form: one of `FORMS`.
      clip: gradient of the last clipping beyond its range: one of `CLIPS`, "hard" for
        zero as in the program, "identity" for one as in the paper.
    """

    channels: int
    form: str
    clip: str

    def setup(self):
        """Make the two halves."""
        self.encoder = Encoder(self.channels, self.form)
        self.decoder = Decoder(self.form, self.clip)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Encode and decode, to initialise the parameters."""
        return self.decode(self.encode(images))

    def encode(self, images: jax.Array, train: bool = False) -> jax.Array:
        """See `Encoder`."""
        height, width = images.shape[1:3]
        if height % STRIDE or width % STRIDE:
            raise ConfigError(
                f"a compressive autoencoder takes images with sides that are multiples "
                f"of {STRIDE}, got {height}×{width}"
            )
        return self.encoder(images, train)

    def decode(self, latents: jax.Array, train: bool = False) -> jax.Array:
        """See `Decoder`."""
        return self.decoder(latents, train)


def make_model(config: ml_collections.ConfigDict) -> CompressiveAutoencoder:
    """The module of a config's section `model`."""
    model = config.model
    for field, known in (("form", FORMS), ("clip", CLIPS)):
        if model[field] not in known:
            raise ConfigError(
                f"model.{field} must be one of {', '.join(known)}, got {model[field]!r}"
            )
    if model.channels < 1:
        raise ConfigError(f"model.channels must be at least 1, got {model.channels}")
    return CompressiveAutoencoder(model.channels, model.form, model.clip)
