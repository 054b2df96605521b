"""The plain and pyramidal autoencoders: strided convolutions down, transposed up.

    input 3→c0 ─ conv/2 c0→c1 ─ ... ─ conv/2 →cL ─ tconv·2 →c(L-1) ─ ... →c0 ─ output 3

Batch normalisation and ReLU follow every convolution except the first (ReLU alone) and
the last (tanh). With two convolutions per level one of stride 1 follows each of these
on the way down and precedes each on the way up. Pyramids add, or append, what the way
down had at the same size to the way up.

| name | levels | convolutions | skips |
|---|---|---|---|
| `basic21`, `basic22` | 2 | 1, 2 | |
| `basic51`, `basic52` | 5 | 1, 2 | |
| `pyramidal51`, `pyramidal52` | 5 | 1, 2 | added |
| `pyramidal51cat` | 5 | 1 | appended |

Source: the restoration programs beside facecompressor (PyTorch). Their widths are not
published; 16, 32, 64, ... up to 512 at the fifth level are ours.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.systems.restoration import layers

# Name -> (levels, convolutions per level, skips).
FORMS = {
    "basic21": (2, 1, "none"),
    "basic22": (2, 2, "none"),
    "basic51": (5, 1, "none"),
    "basic52": (5, 2, "none"),
    "pyramidal51": (5, 1, "add"),
    "pyramidal51cat": (5, 1, "append"),
    "pyramidal52": (5, 2, "add"),
}
SKIPS = ("none", "add", "append")


class Autoencoder(nn.Module):
    """An autoencoder of images of any size.

    Attributes:
      widths: channels c0, c1, ... by level, one more than there are levels.
      convolutions: per level, 1 or 2.
      skips: one of `SKIPS`.
    """

    widths: tuple[int, ...]
    convolutions: int = 1
    skips: str = "none"

    @property
    def multiple(self) -> int:
        """Sides are padded to multiples of this number of pixels."""
        return 2 ** (len(self.widths) - 1)

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """Restore images.

        Args:
          images: (n, h, w, 3) RGB in [0, 255].
          train: normalise by the batch and update the collection "batch_stats".
          keys: unused.

        Returns:
          (n, h, w, 3) in [0, 255].
        """
        del keys
        first, *deeper = self.widths
        x = layers.to_signed(images, self.multiple)
        x = nn.relu(layers.conv3(first, name="input")(x))
        x = self._repeated(x, first, "down0", train)
        kept = [x]
        for level, width in enumerate(deeper, start=1):
            name = f"down{level}"
            x = layers.conv3(width, stride=2, name=name)(x)
            x = _normalized(x, train, name)
            x = self._repeated(x, width, name, train)
            kept.append(x)
        for level in reversed(range(len(deeper))):
            name = f"up{level}"
            x = self._repeated(x, x.shape[-1], name, train)
            x = layers.transposed3(self.widths[level], name=name)(x)
            x = _normalized(x, train, name)
            if self.skips == "add":
                x += kept[level]
            elif self.skips == "append":
                x = jnp.concatenate([x, kept[level]], axis=-1)
        x = self._repeated(x, x.shape[-1], "output", train)
        x = nn.tanh(layers.conv3(3, name="output")(x))
        return layers.from_signed(x, images)

    def _repeated(self, x, width, name, train):
        """The further convolutions of a step, of stride 1.

        A transposed convolution of stride 1 is a convolution with the kernel turned.
        """
        for number in range(1, self.convolutions):
            repeated = f"{name}_{number}"
            x = _normalized(layers.conv3(width, name=repeated)(x), train, repeated)
        return x


def _normalized(x, train, name):
    return nn.relu(layers.batch_norm(train, name=f"{name}_norm")(x))
