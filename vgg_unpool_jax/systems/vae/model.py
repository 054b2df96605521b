"""Convolutional variational autoencoder for small square photos.

    RGB ─ conv5/2 64 ─ conv5/2 128 ─ conv5/2 256 ─ dense 1024 ─┬─ mean         (128)
     64²      32²          16²           8²                     └─ log-variance (128)

    code ─ dense 256·8·8 ─ tconv5·2 256 ─ tconv5·2 128 ─ tconv5·2 32 ─ conv5 3 ─ tanh
     128        8²              16²            32²            64²

Batch normalisation and ReLU follow every layer except the two heads and the last
convolution; layers before a normalisation have no bias. With the sizes drawn here the
network has 22,764,515 parameters, 18,071,360 of them in the encoder.

Source: MariaPdg/image-autoencoding (PyTorch). Differences: the running variance of a
normalisation is the biased one, as in Flax, and the flattened order is (height, width,
channel).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.nets.transposed_convolution import TransposedConvolution

# Xavier's normal distribution, not truncated.
_KERNEL_INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "normal")
_BATCH_NORM_EPSILON = 1e-5
_KERNEL = (5, 5)
# Zero padding of a strided convolution, and of its transpose, which doubles the size.
_CONV_PADDING = ((2, 2), (2, 2))
_TRANSPOSED_PADDING = (2, 3)

# Images are in [0, 255] outside and in [-1, 1] inside.
HALF_RANGE = 127.5


class VAE(nn.Module):
    """Encoder, reparameterisation and decoder.

    Attributes:
      image_size: side of the photos in pixels; a multiple of 2 to the number of stages.
      latent_size: length of a code.
      encoder_channels: output channels of the strided convolutions, one per stage.
      decoder_channels: output channels of the transposed convolutions, one per stage.
      hidden_size: width of the dense layer before the heads.
      batch_norm_momentum: share of the old running value in the new one; torch's
        momentum is 1 minus this.
      decoder_std: standard deviation of p(x|z), a Gaussian on the scale of [-1, 1].
      learn_decoder_std: train it, starting from `decoder_std`; one additional
        parameter.
    """

    image_size: int = 64
    latent_size: int = 128
    encoder_channels: Sequence[int] = (64, 128, 256)
    decoder_channels: Sequence[int] = (256, 128, 32)
    hidden_size: int = 1024
    batch_norm_momentum: float = 0.1
    decoder_std: float = 0.125
    learn_decoder_std: bool = False

    def setup(self):
        """Check the sizes and make the two networks."""
        grid = check_sizes(
            self.image_size, self.encoder_channels, self.decoder_channels
        )
        self.encoder = _Encoder(
            tuple(self.encoder_channels),
            self.hidden_size,
            self.latent_size,
            self.batch_norm_momentum,
        )
        self.decoder = _Decoder(
            (grid, grid, self.encoder_channels[-1]),
            tuple(self.decoder_channels),
            self.batch_norm_momentum,
            self.decoder_std if self.learn_decoder_std else None,
        )

    def __call__(
        self, images: jax.Array, noise: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, dict]:
        """Encode, draw a code, decode.

        Args:
          images: (n, image_size, image_size, 3) RGB in [0, 255].
          noise: (n, latent_size) from N(0, I) for codes mean + noise · std; None uses
            the mean, as for reconstructions.
          train: normalise by the batch and update the collection "batch_stats".

        Returns:
          reconstructions: as images, inside [0, 255].
          intermediates: "mean" and "log_variance" (n, latent_size), "codes"
            (n, latent_size) and the scalar "log_std" of p(x|z).
        """
        means, log_variances = self.encode(images, train)
        codes = means
        if noise is not None:
            codes = means + noise * jnp.exp(0.5 * log_variances)
        outputs = self.decode(codes, train)
        intermediates = {
            "mean": means,
            "log_variance": log_variances,
            "codes": codes,
            "log_std": self.log_std(),
        }
        return outputs, intermediates

    def encode(
        self, images: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Images to means and log-variances (n, latent_size) of q(z|x)."""
        wanted = (self.image_size, self.image_size, 3)
        if images.ndim != 4 or images.shape[1:] != wanted:
            raise ValueError(
                f"images for this VAE must have shape (n, {self.image_size}, "
                f"{self.image_size}, 3), got {images.shape}"
            )
        return self.encoder(images / HALF_RANGE - 1.0, train)

    def decode(self, codes: jax.Array, train: bool = False) -> jax.Array:
        """Codes (n, latent_size) to images (n, image_size, image_size, 3)."""
        if codes.ndim != 2 or codes.shape[1] != self.latent_size:
            raise ValueError(
                f"codes for this VAE must have shape (n, {self.latent_size}), got "
                f"{codes.shape}"
            )
        return (self.decoder(codes, train) + 1.0) * HALF_RANGE

    def log_std(self) -> jax.Array:
        """Natural logarithm of the standard deviation of p(x|z), a scalar."""
        if self.learn_decoder_std:
            return self.decoder.log_std
        return jnp.log(jnp.float32(self.decoder_std))


def check_sizes(
    image_size: int, encoder_channels: Sequence[int], decoder_channels: Sequence[int]
) -> int:
    """Side of the smallest feature map; `ValueError` for sizes that do not fit."""
    stages = len(encoder_channels)
    if not stages or len(decoder_channels) != stages:
        raise ValueError(
            "encoder_channels and decoder_channels must have one entry per stage, got "
            f"{tuple(encoder_channels)} and {tuple(decoder_channels)}"
        )
    if image_size < 1 or image_size % 2**stages:
        raise ValueError(
            f"image_size must be a multiple of {2**stages} for {stages} stages, got "
            f"{image_size}"
        )
    return image_size // 2**stages


def transposed_convolution(features: int) -> TransposedConvolution:
    """Kernel of 5×5, no bias."""
    return TransposedConvolution(
        features, _KERNEL[0], _TRANSPOSED_PADDING, _KERNEL_INIT, use_bias=False
    )


class _Normalized(nn.Module):
    """Batch normalisation and ReLU."""

    momentum: float

    @nn.compact
    def __call__(self, inputs, train):
        normalize = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=_BATCH_NORM_EPSILON,
            name="batch_norm",
        )
        return nn.relu(normalize(inputs))


class _Encoder(nn.Module):
    channels: tuple[int, ...]
    hidden_size: int
    latent_size: int
    momentum: float

    @nn.compact
    def __call__(self, images, train):
        outputs = images
        for stage, channels in enumerate(self.channels, start=1):
            outputs = nn.Conv(
                channels,
                _KERNEL,
                strides=2,
                padding=_CONV_PADDING,
                use_bias=False,
                kernel_init=_KERNEL_INIT,
                name=f"conv{stage}",
            )(outputs)
            outputs = _Normalized(self.momentum, name=f"norm{stage}")(outputs, train)
        outputs = outputs.reshape(outputs.shape[0], -1)
        outputs = nn.Dense(
            self.hidden_size, use_bias=False, kernel_init=_KERNEL_INIT, name="dense"
        )(outputs)
        outputs = _Normalized(self.momentum, name="dense_norm")(outputs, train)
        heads = [
            nn.Dense(self.latent_size, kernel_init=_KERNEL_INIT, name=name)(outputs)
            for name in ("mean", "log_variance")
        ]
        return tuple(heads)


class _Decoder(nn.Module):
    grid: tuple[int, int, int]
    channels: tuple[int, ...]
    momentum: float
    initial_std: float | None

    def setup(self):
        if self.initial_std is not None:
            initial = nn.initializers.constant(jnp.log(self.initial_std))
            self.log_std = self.param("log_std", initial, (), jnp.float32)
        height, width, channels = self.grid
        self.dense = nn.Dense(
            height * width * channels, use_bias=False, kernel_init=_KERNEL_INIT
        )
        self.dense_norm = _Normalized(self.momentum)
        self.transposed = [
            transposed_convolution(features) for features in self.channels
        ]
        self.norms = [_Normalized(self.momentum) for _ in self.channels]
        self.output = nn.Conv(
            3, _KERNEL, padding=_CONV_PADDING, kernel_init=_KERNEL_INIT
        )

    def __call__(self, codes, train):
        outputs = self.dense_norm(self.dense(codes), train)
        outputs = outputs.reshape(-1, *self.grid)
        for convolution, normalize in zip(self.transposed, self.norms, strict=True):
            outputs = normalize(convolution(outputs), train)
        return nn.tanh(self.output(outputs))
