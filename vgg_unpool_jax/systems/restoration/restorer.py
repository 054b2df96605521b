"""A blind restorer of photos with Gaussian noise and JPEG artefacts.

    photo ─ estimator ─ (noise, quality) ─┐ or those that the user sets
      └───────────────── restorer ────────┴─ photo - what is wrong with it

The estimator sees statistics of the whole photo: local features, averaged over all
positions. The restorer is told its two numbers and works on pixels of its own
neighbourhood, so that large photos can be restored in tiles.

| restorer | |
|---|---|
| `pyramid` | at 1/2, 1/4, 1/8 of the size residual blocks, additive skips |
| `dncnn` | plain 3×3 convolutions at full size with batch normalisation |

Source: the pyramid follows the additive skips of `autoencoders.py`, the residual blocks
of DRUNet and the pixel unshuffling of FFDNet; `dncnn` is DnCNN (Zhang et al., 2017),
told the two numbers by constant channels.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.nets.convolution import he_convolution
from vgg_unpool_jax.ops.blocks import blocks_to_channels, channels_to_blocks
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.systems.restoration import layers

WHITE = 255.0
# Largest noise and worst quality that are of the order of 1 for the network.
_NOISE_UNIT, _BEST_QUALITY = 50.0, 100.0
_EMBEDDED = 32
# Pixels per position of the estimator's features, and its reach around a position.
ESTIMATOR_SCALE, ESTIMATOR_MARGIN = 8, 32
BACKBONES = ("pyramid", "dncnn")


class Levels(NamedTuple):
    """How damaged photos are.

    Attributes:
      noise: (n,) or a number, standard deviation in grey levels; 0 is none.
      quality: of JPEG, 1 to 100; 100 is none.
    """

    noise: jax.Array
    quality: jax.Array


def to_vector(levels: Levels) -> jax.Array:
    """Levels as the network gets them, (n, 2), 0 for photos without damage."""
    noise = jnp.asarray(levels.noise, jnp.float32) / _NOISE_UNIT
    loss = 1.0 - jnp.asarray(levels.quality, jnp.float32) / _BEST_QUALITY
    return jnp.stack([noise, loss], axis=-1)


def from_vector(vector: jax.Array) -> Levels:
    """The inverse of `to_vector`; what cannot be is brought to the nearest that can."""
    vector = jnp.maximum(vector, 0.0)
    noise = jnp.minimum(vector[..., 0] * _NOISE_UNIT, WHITE)
    return Levels(noise, jnp.maximum(1.0, _BEST_QUALITY * (1.0 - vector[..., 1])))


class Restorer(nn.Module):
    """Estimator and restorer of photos of any size.

    Attributes:
      backbone: one of `BACKBONES`.
      widths: channels by level of the pyramid; of the only level of `dncnn`.
      blocks: residual blocks of each level, of all but the deepest on the way down and
        again on the way up; for `dncnn` the number of convolutions.
    """

    backbone: str = "pyramid"
    widths: tuple[int, ...] = (64, 96, 128)
    blocks: tuple[int, ...] = (2, 2, 4)

    def setup(self):
        """Make both networks."""
        self.estimator = _Estimator()
        if self.backbone == "pyramid":
            self.restorer = _Pyramid(self.widths, self.blocks)
        else:
            self.restorer = _DnCNN(self.widths[0], self.blocks[0])

    @property
    def multiple(self) -> int:
        """Sides are padded to multiples of this number of pixels."""
        own = 2 ** len(self.widths) if self.backbone == "pyramid" else 1
        return max(own, ESTIMATOR_SCALE)

    @property
    def margin(self) -> int:
        """A bound of the distance in pixels from which an output is influenced."""
        if self.backbone == "dncnn":
            return max(self.blocks[0], ESTIMATOR_MARGIN)
        *upper, deepest = self.blocks
        # Each block has two convolutions; the first and last are at the top.
        counts = [4 * blocks for blocks in upper] + [2 * deepest]
        counts[0] += 2
        reach = sum(count * 2**level for level, count in enumerate(counts, start=1))
        return max(reach + self.multiple, ESTIMATOR_MARGIN)

    def __call__(
        self, images: jax.Array, vector: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Restore images.

        Args:
          images: (n, h, w, 3) RGB in [0, 255].
          vector: (n, 2) as from `to_vector`; None takes the estimated one.
          train: normalise by the batch, where there is batch normalisation.

        Returns:
          outputs: (n, h, w, 3) on the scale of [0, 255], not clipped.
          estimated: (n, 2).
        """
        features = jnp.mean(self.features(images), axis=(1, 2))
        estimated = self.estimate(features)
        vector = estimated if vector is None else vector
        return self.restore(images, vector, train), estimated

    def features(self, images: jax.Array) -> jax.Array:
        """(n, h, w, 3) to local features (n, h/8, w/8, c) of the estimator."""
        return self.estimator(pad_to_multiple(images, self.multiple) / WHITE)

    def estimate(self, features: jax.Array) -> jax.Array:
        """Means of the features (n, c) over a photo to its estimate (n, 2)."""
        return self.estimator.head(features)

    def restore(
        self, images: jax.Array, vector: jax.Array, train: bool = False
    ) -> jax.Array:
        """Images and what is known of them (n, 2) to restored images."""
        height, width = images.shape[1:3]
        x = pad_to_multiple(images, self.multiple) / WHITE
        wrong = self.restorer(x, jnp.maximum(vector, 0.0), train)
        return images - WHITE * wrong[:, :height, :width]


def _beside(x, vector):
    """Constant channels beside those of x."""
    n, height, width, _ = x.shape
    shape = n, height, width, vector.shape[-1]
    return jnp.concatenate([x, jnp.broadcast_to(vector[:, None, None], shape)], axis=-1)


class _Estimator(nn.Module):
    def setup(self):
        self.first = he_convolution(32, None, relu=True)
        self.strided = [
            nn.Conv(features, (3, 3), strides=2, padding=((1, 1), (1, 1)))
            for features in (48, 64)
        ]
        self.last = he_convolution(64, None, relu=True)
        self.hidden, self.output = nn.Dense(64), nn.Dense(2)

    def __call__(self, images):
        x = self.first(blocks_to_channels(images, 2))
        for convolution in self.strided:
            x = nn.relu(convolution(x))
        return self.last(x)

    def head(self, features):
        return self.output(nn.relu(self.hidden(features)))


class _Pyramid(nn.Module):
    widths: tuple[int, ...]
    blocks: tuple[int, ...]

    @nn.compact
    def __call__(self, images, vector, train):
        del train
        known = nn.relu(nn.Dense(_EMBEDDED, name="known")(vector))
        x = he_convolution(self.widths[0], "input", gain=1.0)(
            blocks_to_channels(images, 2)
        )
        kept = []
        for level, (width, count) in enumerate(
            zip(self.widths, self.blocks, strict=True)
        ):
            if level:
                kept.append(x)
                x = nn.Dense(width, name=f"halve{level}")(blocks_to_channels(x, 2))
            x = self._residual(x, known, count, f"down{level}")
        for level in reversed(range(len(kept))):
            skip = kept[level]
            x = nn.Dense(4 * skip.shape[-1], name=f"double{level}")(x)
            x = channels_to_blocks(x, 2) + skip
            x = self._residual(x, known, self.blocks[level], f"up{level}")
        # A network that has learnt nothing returns the photo.
        x = he_convolution(4 * images.shape[-1], "output", gain=0.0)(x)
        return channels_to_blocks(x, 2)

    def _residual(self, x, known, count, name):
        for number in range(count):
            block = f"{name}_{number}"
            width = x.shape[-1]
            shift = nn.Dense(width, use_bias=False, name=f"{block}_known")(known)
            inner = nn.relu(
                he_convolution(width, f"{block}_1")(x) + shift[:, None, None]
            )
            x += he_convolution(width, f"{block}_2", gain=0.1)(inner)
        return x


class _DnCNN(nn.Module):
    width: int
    depth: int

    @nn.compact
    def __call__(self, images, vector, train):
        x = he_convolution(self.width, "input", relu=True)(_beside(images, vector))
        for number in range(self.depth - 2):
            x = he_convolution(self.width, f"hidden{number}")(x)
            x = nn.relu(layers.batch_norm(train, name=f"hidden{number}_norm")(x))
        return he_convolution(images.shape[-1], "output", gain=0.0)(x)
