"""Reader and writer of networks in `.safetensors` files."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

# Comes with jax; once imported, NumPy and so safetensors know bfloat16.
import ml_dtypes  # noqa: F401
import numpy as np
import safetensors
import safetensors.numpy

from vgg_unpool_jax.errors import WeightsError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.nets.vgg19_layers import Convolution
from vgg_unpool_jax.pretrained.torchvision_pth import torchvision_key
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.pretrained.weight_file import (
    KINDS,
    StoredArray,
    WeightFile,
    index_arrays,
)

_KEY = re.compile(r"((?:block\d+_)?conv\d+)[/.](kernel|bias)")


@contextlib.contextmanager
def open_safetensors(
    path: pathlib.Path, network: Sequence[Convolution]
) -> Iterator[WeightFile]:
    """Open a `.safetensors` file.

    Two layouts are known: our own (`block1_conv1/kernel` or `block1_conv1.kernel`, axes
    HWIO, with the entry `preprocessing` in the metadata) and torchvision's
    (`features.0.weight`, axes OIHW; `preprocessing` is `"torchvision"` unless the
    metadata have another).

    Args:
      path: the file.
      network: the layers to look for.

    Yields:
      Its arrays.
    """
    with safetensors.safe_open(path, framework="numpy") as file:
        names, note = sorted(file.keys()), file.metadata() or {}
        layers = {layer.name for layer in network}
        is_ours = any(map(_KEY.fullmatch, names))
        found = []
        for name in names:
            if is_ours:
                match = _KEY.fullmatch(name)
                key = (match[1], match[2]) if match and match[1] in layers else None
            else:
                key = torchvision_key(path, name, network)
            found.append((key, _stored(file, name)))
        if not is_ours:
            note = {"preprocessing": "torchvision", **note}
        layout = "keras" if is_ours else "torchvision"
        arrays = index_arrays(path, found)
        yield WeightFile(path, "safetensors", layout, arrays, names, note)


def save_safetensors(weights: VGG19Weights, path: str | os.PathLike):
    """Write weights into a `.safetensors` file that needs neither h5py nor PyTorch.

    Keys are `block1_conv1/kernel` (3, 3, in, out) and `block1_conv1/bias` (out,), all
    float32; the metadata are `weights.note()`.

    Args:
      weights: any weights, of any cut.
      path: the file to write; missing parent folders are made.
    """
    tensors = {
        f"{name}/{kind}": np.asarray(layer[kind], np.float32, order="C")
        for name, layer in weights.params.items()
        for kind in KINDS
    }
    content = safetensors.numpy.save(tensors, weights.note())
    write_weights(path, content)


def write_weights(path: str | os.PathLike, content: bytes) -> None:
    """Write a weight file aside and rename it."""
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise WeightsError(
            f"the weights cannot be written to {path} ({first_line(error)})"
        ) from error


def _stored(file, name: str) -> StoredArray:
    piece = file.get_slice(name)
    dtype = piece.get_dtype()
    is_float = dtype in ("F16", "BF16", "F32", "F64")
    shape = tuple(piece.get_shape())
    return StoredArray(name, shape, dtype, is_float, lambda: file.get_tensor(name))
