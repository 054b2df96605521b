"""The pyramidal DenseNet of 103 layers.

    3 ─ 48 ─ D4 T ─ D5 T ─ D7 T ─ D10 T ─ D12 T ─ D15 ─ U D12 ─ U D10 ─ U D7 ─ U D5
      ─ U D4 ─ 3

D4 is a dense block of four layers (normalisation, ReLU, 3×3 convolution to 16 channels,
dropout 0.2), each of which sees the block's input and all earlier outputs; it returns
the new channels alone. On the way down its input is appended, and what results is kept
as a skip; T halves the size and keeps the channels. On the way up U doubles the size,
and the skip is appended.

The published program and drawing differ, and both can be made:

| | program | drawing |
|---|---|---|
| last block | 5 layers, 104 in all | 4 layers, 103 in all |
| T | conv 1×1, norm, ReLU, dropout, max | norm, ReLU, conv 1×1, dropout, mean |
| U | transposed conv | norm, ReLU, transposed conv, dropout |

With the program's transitions that is 9,358,819 and 9,320,995 parameters.

Source: facecompressor's pyramidal457101215 (PyTorch).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.nets.dropout import Dropout
from vgg_unpool_jax.systems.restoration import layers

TRANSITIONS = ("as_code", "as_drawn")
BLOCKS = (4, 5, 7, 10, 12, 15)
_POOL = {"window_shape": (2, 2), "strides": (2, 2)}


class DenseNet(nn.Module):
    """A pyramid of dense blocks for images of any size.

    Attributes:
      width: channels after the first convolution.
      growth: channels of a layer of a dense block.
      blocks: layers of the dense blocks on the way down, the deepest last.
      last_block: layers of the last block on the way up, 4 or 5 in the sources.
      transitions: one of `TRANSITIONS`.
      dropout: share of values that are dropped in training.
    """

    width: int = 48
    growth: int = 16
    blocks: tuple[int, ...] = BLOCKS
    last_block: int = 4
    transitions: str = "as_code"
    dropout: float = 0.2

    @property
    def multiple(self) -> int:
        """Sides are padded to multiples of this number of pixels."""
        return 2 ** (len(self.blocks) - 1)

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """Restore images.

        Args:
          images: (n, h, w, 3) RGB in [0, 255].
          train: normalise by the batch and update the collection "batch_stats".
          keys: (n,), for dropout in training; None drops nothing.

        Returns:
          (n, h, w, 3) in [0, 255].
        """
        keys = keys if train else None
        *down, deepest = self.blocks
        x = layers.to_signed(images, self.multiple)
        x = nn.relu(layers.conv3(self.width, name="input")(x))
        kept = []
        for level, count in enumerate(down):
            new = self._dense(x, count, f"down{level}", train, keys)
            kept.append(jnp.concatenate([x, new], axis=-1))
            x = self._halve(kept[-1], f"down{level}", train, keys)
        x = self._dense(x, deepest, "deepest", train, keys)
        for level, count in reversed(list(enumerate((self.last_block, *down[1:])))):
            x = self._double(x, f"up{level}", train, keys)
            x = jnp.concatenate([kept[level], x], axis=-1)
            x = self._dense(x, count, f"up{level}", train, keys)
        x = nn.tanh(layers.conv3(3, name="output")(x))
        return layers.from_signed(x, images)

    def _dense(self, x, count, name, train, keys):
        found = []
        for number in range(count):
            layer = f"{name}_{number}"
            seen = jnp.concatenate([x, *found], axis=-1)
            seen = nn.relu(layers.batch_norm(train, name=f"{layer}_norm")(seen))
            new = layers.conv3(self.growth, name=layer)(seen)
            found.append(self._dropped(new, layer, keys))
        return jnp.concatenate(found, axis=-1)

    def _halve(self, x, name, train, keys):
        name = f"{name}_halve"
        convolution = layers.conv1(x.shape[-1], name=name)
        normalization = layers.batch_norm(train, name=f"{name}_norm")
        if self.transitions == "as_code":
            x = self._dropped(nn.relu(normalization(convolution(x))), name, keys)
            return nn.max_pool(x, **_POOL)
        x = self._dropped(convolution(nn.relu(normalization(x))), name, keys)
        return nn.avg_pool(x, **_POOL)

    def _double(self, x, name, train, keys):
        name = f"{name}_double"
        convolution = layers.transposed3(x.shape[-1], name=name)
        if self.transitions == "as_code":
            return convolution(x)
        x = nn.relu(layers.batch_norm(train, name=f"{name}_norm")(x))
        return self._dropped(convolution(x), name, keys)

    def _dropped(self, x, name, keys):
        return Dropout(self.dropout, name=f"{name}_dropout")(x, keys)
