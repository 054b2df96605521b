"""The 3×3 convolution layer of encoders and decoders."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.ops.convolution import convolve

AUTO = "auto"

# Name of the arrays that rematerialisation keeps: the input of each block. Everything
# else in the block is recomputed from it; see `jax.checkpoint_policies`.
BLOCK_INPUT = "block_input"


def zero_beyond(arrays: jax.Array, size: jax.Array | None, scale: int) -> jax.Array:
    """Zeros where padding was put below and right of images of a smaller size.

    After every convolution this makes the next one see the zeros that it pads with, as
    if the images ended there.

    Args:
      arrays: (n, h, w, c).
      size: int32 (2,), height and width of the images; None for all of it.
      scale: pixels of the image per position.
    """
    if size is None:
        return arrays
    rows = jnp.arange(arrays.shape[1], dtype=jnp.int32) < size[0] // scale
    columns = jnp.arange(arrays.shape[2], dtype=jnp.int32) < size[1] // scale
    is_inside = (rows[:, None] & columns[None])[None, :, :, None]
    return jnp.where(is_inside, arrays, jnp.zeros((), arrays.dtype))


class Convolution(nn.Module):
    """`nn.Conv(features, (3, 3))` and optional ReLU by `ops.convolution.convolve`.

    Names, shapes and initial values of the parameters are those of `nn.Conv`. The
    computation has the dtype of the images; the parameters stay float32.

    Attributes:
      features: output channels.
      relu: whether ReLU follows.
      implementation: of `convolve`; "auto" is its default.
      kernel_init: initializer of the kernel (3, 3, inputs, features).
      bias_init: initializer of the bias (features,).
      use_bias: whether there is one.
    """

    features: int
    relu: bool
    implementation: str = AUTO
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros
    use_bias: bool = True

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """(n, h, w, inputs) to (n, h, w, features), in the dtype of `images`."""
        shape = (3, 3, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = jnp.zeros(self.features, jnp.float32)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        kernel, bias = (array.astype(images.dtype) for array in (kernel, bias))
        implementation = None if self.implementation == AUTO else self.implementation
        return convolve(
            images, kernel, bias, relu=self.relu, implementation=implementation
        )


def he_convolution(
    features: int, name: str | None, *, relu: bool = False, gain: float = 2.0
) -> Convolution:
    """A `Convolution` with kernels of variance gain / fan-in, or zeros without gain."""
    init = nn.initializers.zeros
    if gain:
        init = nn.initializers.variance_scaling(gain, "fan_in", "truncated_normal")
    return Convolution(features, relu=relu, kernel_init=init, name=name)
