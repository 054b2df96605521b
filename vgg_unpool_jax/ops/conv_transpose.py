"""Transposed convolution, one plain convolution per phase of the output.

The textbook form convolves the input with zeros between its pixels, and at stride 2
three of four products are with such a zero. Output pixels with the same position modulo
the stride use the same taps of the kernel, so each such phase is a convolution of the
input itself with every stride-th tap:

    stride 2, kernel 5     even outputs  x[m-1] k[0] + x[m] k[2] + x[m+1] k[4]
    padding (2, 3)         odd outputs   x[m] k[1] + x[m+1] k[3]
"""

import jax
import jax.numpy as jnp

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def conv_transpose(
    images: jax.Array,
    kernel: jax.Array,
    *,
    stride: int,
    padding: tuple[int, int],
) -> jax.Array:
    """Transposed convolution, equal to `jax.lax.conv_transpose` up to rounding.

    Args:
      images: (n, h, w, i).
      kernel: (k, k', i, o); not flipped.
      stride: factor between input and output, in both directions.
      padding: (low, high) on the input with zeros between its pixels, both directions.
        torch's kernel k, padding p and output_padding q are (k-1-p, k-1-p+q), with its
        kernel flipped in both directions.

    Returns:
      (n, H, W, o) with H = (h - 1) · stride + 2 + low + high - k.
    """
    if images.ndim != 4 or kernel.ndim != 4 or images.shape[3] != kernel.shape[2]:
        raise ValueError(
            "images and kernel must have shapes (n, h, w, i) and (k, k', i, o), got "
            f"{images.shape} and {kernel.shape}"
        )
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    low, high = padding
    size = [
        (images.shape[1 + axis] - 1) * stride + 2 + low + high - kernel.shape[axis]
        for axis in (0, 1)
    ]
    if min(size) < 1:
        raise ValueError(
            f"padding {padding} leaves no output of images {images.shape} and kernel "
            f"{kernel.shape}"
        )
    rows = [
        _phase(images.shape[1], kernel.shape[0], stride, low, size[0], phase)
        for phase in range(stride)
    ]
    columns = [
        _phase(images.shape[2], kernel.shape[1], stride, low, size[1], phase)
        for phase in range(stride)
    ]
    parts = [
        _convolve(images, kernel[row_taps, column_taps], (row_pads, column_pads))
        for row_taps, row_pads in rows
        for column_taps, column_pads in columns
    ]
    n, height, width, channels = parts[0].shape
    outputs = jnp.stack(parts, axis=3)
    outputs = outputs.reshape(n, height, width, stride, stride, channels)
    outputs = outputs.transpose(0, 1, 3, 2, 4, 5)
    outputs = outputs.reshape(n, height * stride, width * stride, channels)
    return outputs[:, : size[0], : size[1]]


def _phase(length, taps, stride, low, size, phase):
    """Taps and padding of the convolution for the outputs phase, phase + stride, ..."""
    first = (low - phase) % stride
    count = len(range(first, taps, stride))
    before = (low - phase - first) // stride
    # As many outputs in every phase, so that they interleave; the surplus is cut off.
    after = -(-size // stride) - length - before + count - 1
    return slice(first, None, stride), (before, after)


def _convolve(images, kernel, padding):
    if 0 in kernel.shape[:2]:  # a kernel shorter than the stride leaves gaps
        n, height, width, _ = images.shape
        (top, bottom), (left, right) = padding
        height += top + bottom + 1 - kernel.shape[0]
        width += left + right + 1 - kernel.shape[1]
        return jnp.zeros((n, height, width, kernel.shape[3]), images.dtype)
    # Negative padding is applied by slicing: XLA on CPUs reads beyond the array where
    # one side is negative and the other is not.
    for axis, (before, after) in enumerate(padding, start=1):
        stop = images.shape[axis] + min(after, 0)
        images = jax.lax.slice_in_dim(images, -min(before, 0), stop, axis=axis)
    padding = [(max(before, 0), max(after, 0)) for before, after in padding]
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), padding, dimension_numbers=_DIMENSIONS
    )
