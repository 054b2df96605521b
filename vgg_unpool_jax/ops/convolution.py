"""The 3×3 convolution of VGG19 and its mirrors, by the fastest method of a platform.

Four implementations of one operation, stride 1 and zero padding of 1:

* "xla": `jax.lax.conv_general_dilated` and XLA's gradients; cuDNN on a GPU.
* "winograd": a quarter of the products, for float32; see `ops/winograd.py`.
* "native": the same by C++ on a CPU; elsewhere it is "winograd".
* "columns": the convolution of "xla", but the weight gradient as one matrix product
  over nine shifted copies of the narrower side, for images or outputs of few channels.

On a CPU XLA's weight gradient is several times slower than its convolution; there the
default is "native", "columns" at the RGB end of a network, and "xla" for arrays too
small to pay for the transformed kernels. Everywhere else, and for other dtypes, the
default is "xla"; `docs/performance.md` has the numbers. The default is chosen for the
platform on which JAX computes; a program that is lowered for another one (`jax.export`)
should set "xla". Only "xla" has forward-mode derivatives.
"""

import functools

import jax
import jax.numpy as jnp

from vgg_unpool_jax.ops import winograd, winograd_native
from vgg_unpool_jax.ops.placing import on_device

IMPLEMENTATIONS = ("xla", "winograd", "native", "columns")

_WINOGRAD = {"winograd": winograd, "native": winograd_native}

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")

# With fewer tiles, reading the transformed kernel (four times as large as the kernel)
# costs more than its products save: break-even at 36 tiles of 512 channels.
_MIN_TILES = 36
# Up to this number of channels "columns" is faster.
_MAX_NARROW = 8


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    relu: bool = False,
    implementation: str | None = None,
) -> jax.Array:
    """3×3 convolution with stride 1 and zero padding of 1, bias and optional ReLU.

    Args:
      images: (n, h, w, i), any float dtype.
      kernel: (3, 3, i, o), the dtype of `images`.
      bias: (o,), the dtype of `images`.
      relu: whether negative outputs become zero; the gradient at zero is zero.
      implementation: one of `IMPLEMENTATIONS`; None chooses the fastest known for the
        default platform, these shapes and this dtype.

    Returns:
      (n, h, w, o), the dtype of `images`.

    Raises:
      ValueError: for shapes or dtypes that do not fit, another implementation, or
        "winograd" or "native" for another dtype than float32.
    """
    images, kernel, bias = map(on_device, (images, kernel, bias))
    if (
        images.ndim != 4
        or kernel.shape[:2] != (3, 3)
        or images.shape[3:] != kernel.shape[2:3]
        or kernel.ndim != 4
        or bias.shape != kernel.shape[3:]
    ):
        raise ValueError(
            "images, kernel and bias must have shapes (n, h, w, i), (3, 3, i, o) and "
            f"(o,), got {images.shape}, {kernel.shape} and {bias.shape}"
        )
    for name, array in (("kernel", kernel), ("bias", bias)):
        if images.dtype != array.dtype:
            raise ValueError(
                f"{name} must have the dtype of images, {images.dtype}, got "
                f"{array.dtype}"
            )
    if implementation is None:
        implementation = default_implementation(images, kernel)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation must be one of {', '.join(IMPLEMENTATIONS)}, got "
            f"{implementation!r}"
        )
    if implementation in _WINOGRAD and images.dtype != jnp.float32:
        raise ValueError(
            f"implementation {implementation!r} takes float32 images, got "
            f"{images.dtype}"
        )
    if implementation == "xla":
        outputs = _xla(images, kernel) + bias[None, None, None]
        return jax.nn.relu(outputs) if relu else outputs
    return _convolve(images, kernel, bias, relu, implementation)


def default_implementation(images: jax.Array, kernel: jax.Array) -> str:
    """The implementation that `convolve` chooses for these shapes and dtypes."""
    if jax.default_backend() != "cpu" or images.dtype != jnp.float32:
        return "xla"
    n, height, width, _ = images.shape
    narrower = min(kernel.shape[2:])
    if narrower <= _MAX_NARROW:
        return "columns"
    tiles = n * -(-height // winograd.TILE) * -(-width // winograd.TILE)
    return "native" if tiles >= _MIN_TILES else "xla"


def _xla(images, kernel):
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _convolve(images, kernel, bias, relu, implementation):
    if implementation in _WINOGRAD:
        method = _WINOGRAD[implementation]
        return method.convolve(images, kernel, bias, relu=relu)
    outputs = _xla(images, kernel) + bias[None, None, None]
    return jnp.maximum(outputs, 0) if relu else outputs


def _convolve_forward(images, kernel, bias, relu, implementation):
    outputs = _convolve(images, kernel, bias, relu, implementation)
    return outputs, (images, kernel, outputs if relu else None)


def _convolve_backward(relu, implementation, residuals, cotangent):
    images, kernel, outputs = residuals
    # The transpose of a convolution is a convolution with the rotated kernel.
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if implementation in _WINOGRAD:
        method = _WINOGRAD[implementation]
        images_gradient = method.convolve(cotangent, turned, gate=outputs)
        return images_gradient, *method.weight_gradient(images, cotangent, outputs)
    if relu:
        cotangent = jnp.where(outputs > 0, cotangent, 0)
    bias_gradient = jnp.sum(cotangent, axis=(0, 1, 2))
    images_gradient = _xla(cotangent, turned)
    kernel_gradient = _weight_gradient_by_columns(images, cotangent)
    return images_gradient, kernel_gradient, bias_gradient


_convolve.defvjp(_convolve_forward, _convolve_backward)


def _weight_gradient_by_columns(images, cotangent):
    """Σ over positions of image at p + (i, j) - 1 times cotangent at p."""
    if images.shape[3] <= cotangent.shape[3]:
        return _shifted_products(images, cotangent)
    # Shifting the cotangent is shifting the image in the opposite direction.
    turned = _shifted_products(cotangent, images)
    return turned[::-1, ::-1].swapaxes(2, 3)


def _shifted_products(shifted, fixed):
    n, height, width, channels = shifted.shape
    padded = jnp.pad(shifted, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = jnp.concatenate(
        [
            padded[:, row : row + height, column : column + width]
            for row in range(3)
            for column in range(3)
        ],
        axis=-1,
    )
    products = jax.lax.dot_general(
        columns.reshape(n * height * width, -1),
        fixed.reshape(n * height * width, -1),
        (((0,), (0,)), ((), ())),
    )
    return products.reshape(3, 3, channels, -1)
