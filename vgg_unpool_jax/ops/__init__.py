"""Array operations: pooling with switches, its inverse, transposed convolution."""

from vgg_unpool_jax.ops.conv_transpose import conv_transpose
from vgg_unpool_jax.ops.packing import pack_codes, unpack_codes
from vgg_unpool_jax.ops.pooling import max_pool_argmax, max_unpool
from vgg_unpool_jax.ops.switches import (
    codes_to_coordinates,
    codes_to_tensorflow,
    codes_to_torch,
    coordinates_to_codes,
    tensorflow_to_codes,
    torch_to_codes,
)

__all__ = [
    "codes_to_coordinates",
    "codes_to_tensorflow",
    "codes_to_torch",
    "conv_transpose",
    "coordinates_to_codes",
    "max_pool_argmax",
    "max_unpool",
    "pack_codes",
    "tensorflow_to_codes",
    "torch_to_codes",
    "unpack_codes",
]
