"""The transposed convolution that doubles the sides of feature maps."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.ops.conv_transpose import conv_transpose


class TransposedConvolution(nn.Module):
    """Transposed convolution of stride 2.

    The computation has the dtype of the inputs; the parameters "kernel" (size, size,
    inputs, features) and "bias" (features,) are float32.

    Attributes:
      features: output channels.
      size: side of the kernel.
      padding: (low, high) of `ops.conv_transpose`; their sum is `size`, which makes
        the sides twice as long.
      kernel_init: initializer of the kernel.
      use_bias: whether there is a bias, zero at first.
    """

    features: int
    size: int
    padding: tuple[int, int]
    kernel_init: Callable
    use_bias: bool = True

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """(n, h, w, c) to (n, 2h, 2w, features)."""
        shape = (self.size, self.size, inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        kernel = kernel.astype(inputs.dtype)
        outputs = conv_transpose(inputs, kernel, stride=2, padding=self.padding)
        if not self.use_bias:
            return outputs
        zeros = nn.initializers.zeros
        bias = self.param("bias", zeros, (self.features,), jnp.float32)
        return outputs + bias.astype(inputs.dtype)[None, None, None]
