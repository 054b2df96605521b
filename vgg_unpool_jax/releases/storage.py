"""How a released decoder's arrays lie in its file, by the dtype in its metadata.

| dtype | "params/..." | "statistics/..." |
|---|---|---|
| "float32" | float32 | float32 |
| "float16" | float16 | float32 |
| "int8" | 3×3 kernels int8, the rest float32 | float32 |

A kernel in int8 has an array more, its name with "_scale": one float32 per output
channel, greater than zero, by which its numbers are multiplied when they are read.
"""

import hashlib
import os
from collections.abc import Mapping

import numpy as np

from vgg_unpool_jax.errors import ReleaseError

DTYPES = ("float16", "float32", "int8")

_PARAMS = "params/"
_SCALE = "_scale"
_FLOATS = ("F16", "F32")
_LARGEST_CODE = 127
# A scale has the upper 16 bits of a float32's 24: times a code of 7 bits and a sign,
# the product is a float32 without rounding. So what was read can be written again and
# gives the same file.
_DROPPED_BITS = np.uint32(0xFF)


def stored_shapes(
    shapes: Mapping[str, tuple[int, ...]], dtype: str
) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays of a file by their names.

    Args:
      shapes: of the decoder's variables, see `released.decoder_shapes`.
      dtype: in the metadata.
    """
    scales = {
        f"{name}{_SCALE}": shape[-1:]
        for name, shape in shapes.items()
        if _is_coded(name, shape, dtype)
    }
    return {**shapes, **scales}


def check_types(
    path: str | os.PathLike,
    types: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
) -> None:
    """Refuse arrays of other number types than `pack` writes.

    Args:
      path: the file, for messages.
      types: name -> what safetensors calls the type of that array in the file.
      shapes: name -> its shape.
      dtype: in the metadata.
    """
    for name, found in types.items():
        wanted = _FLOATS
        if dtype == "int8":
            wanted = ("I8",) if _is_coded(name, shapes[name], dtype) else ("F32",)
        if found not in wanted:
            one_of = "one of " if len(wanted) > 1 else ""
            raise ReleaseError(
                f"{path} holds {name} as {found}, wanted {one_of}{', '.join(wanted)}"
            )


def pack(variables: Mapping[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Args:
      variables: name -> values, such as "params/block1_conv1/kernel".
      dtype: one of `DTYPES`.
    """
    if dtype not in DTYPES:
        raise ReleaseError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    arrays = {}
    for name, variable in variables.items():
        values = np.asarray(variable, np.float32)
        if not np.isfinite(values).all():
            raise ReleaseError(f"the decoder holds NaN or infinite values in {name}")
        if _is_coded(name, values.shape, dtype):
            arrays[name], arrays[f"{name}{_SCALE}"] = _encode(name, values)
        # Statistics are few numbers with a range that float16 does not have.
        elif dtype == "float16" and name.startswith(_PARAMS):
            arrays[name] = _halve(name, values)
        else:
            arrays[name] = values
    return arrays


def unpack(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray], dtype: str
) -> dict[str, np.ndarray]:
    """What `pack` was given, as far as the dtype keeps it, in float32.

    Args:
      path: the file, for messages.
      arrays: of the file; names, shapes and number types were checked.
      dtype: in the metadata.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ReleaseError(f"{path} holds NaN or infinite values in {name}")
    variables = {}
    for name, array in arrays.items():
        if _is_coded(name, array.shape, dtype):
            scale = arrays[f"{name}{_SCALE}"]
            if not (scale > 0).all():
                raise ReleaseError(
                    f"{path} holds {name}{_SCALE} down to {scale.min():.6g}, wanted "
                    "values greater than 0"
                )
            variables[name] = _decode(array, scale)
            if not np.isfinite(variables[name]).all():
                raise ReleaseError(
                    f"{path} holds {name}{_SCALE} up to {scale.max():.6g}, with which "
                    "the kernel is infinite"
                )
        elif not _is_scale(name, arrays, dtype):
            variables[name] = array.astype(np.float32)
    return variables


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the names, shapes, dtypes and bytes of a file's arrays."""
    sha256 = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        sha256.update(f"{name}{array.shape}{array.dtype.name}".encode())
        sha256.update(array.tobytes())
    return sha256.hexdigest()


def _is_coded(name: str, shape: tuple[int, ...], dtype: str) -> bool:
    is_kernel = name.startswith(_PARAMS) and name.endswith("/kernel")
    return dtype == "int8" and is_kernel and len(shape) == 4 and shape[:2] == (3, 3)


def _is_scale(name: str, arrays: Mapping[str, np.ndarray], dtype: str) -> bool:
    kernel = name.removesuffix(_SCALE)
    return kernel != name and _is_coded(kernel, arrays[kernel].shape, dtype)


def _encode(name: str, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes from -127 to 127 and the scales; half a scale is the largest error.

    Scales of the least squared error, which clip the largest values, are worse: of the
    trained decoder of block 4 they lower the RMS error by 1 to 2 % of itself, and its
    L1 on the test photos becomes 9.122 in place of 9.043 (9.038 in float16).
    """
    largest = np.abs(kernel).max(axis=(0, 1, 2)).astype(np.float64)
    # A channel of zeros has a scale as well, and none is subnormal.
    scale = np.maximum(largest / _LARGEST_CODE, np.finfo(np.float32).tiny)
    bits = scale.astype(np.float32).view(np.uint32)
    # Upwards, so that no value lies beyond the largest code before it is rounded.
    scale = ((bits + _DROPPED_BITS) & ~_DROPPED_BITS).view(np.float32)
    codes = np.rint(kernel / scale.astype(np.float64)).astype(np.int8)
    if not np.isfinite(_decode(codes, scale)).all():
        raise ReleaseError(
            f"{name} reaches {largest.max():.6g}, which int8 and its scale would round "
            "to infinity: take float32"
        )
    return codes, scale


def _decode(codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return codes.astype(np.float32) * scale


def _halve(name: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if not np.isfinite(halves).all():
        raise ReleaseError(
            f"{name} reaches {np.abs(values).max():.6g}, beyond the "
            f"{np.finfo(np.float16).max:.0f} of float16: take float32"
        )
    return halves
