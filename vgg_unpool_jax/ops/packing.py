"""Codes of 2×2 windows in two bits each, four per byte.

A uint8 code per pooled value is an eighth of torch's and TensorFlow's int64 index; a
code of a 2×2 window needs only two of its bits, which makes it a thirty-second.

Layout: with q = ceil(c / 4), byte j of a position holds the codes of the channels j,
q + j, 2q + j and 3q + j, the first of them in its two lowest bits. Channels past c,
which exist only when c is not a multiple of four, have code 0. The four channels are a
quarter of the channels apart and not neighbours, so that packing and unpacking access
contiguous runs of channels: vectors of a CPU, lanes of an accelerator, and no shuffles.
"""

import jax
import jax.numpy as jnp

from vgg_unpool_jax.ops.placing import on_device

CODES_PER_BYTE = 4
_BITS = 2


def packed_channels(channels: int) -> int:
    """Bytes that the codes of `channels` channels take at one position."""
    return -(-channels // CODES_PER_BYTE)


def pack_codes(codes: jax.Array) -> jax.Array:
    """Pack the codes of 2×2 windows, four per byte.

    Args:
      codes: (..., c) uint8, each 0 to 3. Inside `jit`, where values are unknown, only
        the two lowest bits of each code are taken.

    Returns:
      (..., ceil(c / 4)) uint8 in the layout of this module.
    """
    codes = on_device(codes)
    _check_bytes("codes", codes)
    if not isinstance(codes, jax.core.Tracer) and codes.size:
        with jax.ensure_compile_time_eval():  # also where `jit` closes over an array
            largest = int(codes.max())
        if largest > 3:
            raise ValueError(
                f"codes hold {largest}, but a packed code is one of 0 to 3, of a 2×2 "
                "window"
            )
    quarter = packed_channels(codes.shape[-1])
    missing = CODES_PER_BYTE * quarter - codes.shape[-1]
    codes = jnp.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, missing)]) & 3
    packed = codes[..., :quarter]
    for slot in range(1, CODES_PER_BYTE):
        run = codes[..., slot * quarter : (slot + 1) * quarter]
        packed |= run << (_BITS * slot)
    return packed


def unpack_codes(packed: jax.Array, channels: int) -> jax.Array:
    """The inverse of `pack_codes`.

    Args:
      packed: (..., ceil(channels / 4)) uint8.
      channels: number of channels of the codes.

    Returns:
      (..., channels) uint8 codes, each 0 to 3.
    """
    packed = on_device(packed)
    _check_bytes("packed", packed)
    wanted = packed_channels(channels)
    if packed.shape[-1] != wanted:
        raise ValueError(
            f"packed must have {wanted} bytes on its last axis for {channels} "
            f"channels, got shape {packed.shape}"
        )
    # One broadcast and no concatenation, which XLA would write to memory first.
    shifts = _BITS * jnp.arange(CODES_PER_BYTE, dtype=jnp.uint8)
    shifts = shifts.reshape(*(1,) * (packed.ndim - 1), -1, 1)
    codes = (packed[..., None, :] >> shifts) & 3
    codes = codes.reshape(*packed.shape[:-1], CODES_PER_BYTE * wanted)
    return codes[..., :channels]


def _check_bytes(name: str, array: jax.Array) -> None:
    if array.dtype != jnp.uint8 or not array.ndim:
        raise ValueError(
            f"{name} must be a uint8 array with channels on its last axis, got "
            f"{array.dtype} of shape {array.shape}"
        )
