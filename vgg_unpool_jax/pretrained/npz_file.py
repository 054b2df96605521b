"""Reader of networks in NumPy's `.npz` files."""

import contextlib
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from vgg_unpool_jax.nets.vgg19_layers import Convolution
from vgg_unpool_jax.pretrained.weight_file import StoredArray, WeightFile, index_arrays

_KEY = re.compile(r"(?:(?:block(\d+)_conv|conv(\d+)_)(\d+)|(conv\d+))[/.](kernel|bias)")


@contextlib.contextmanager
def open_npz(
    path: pathlib.Path, network: Sequence[Convolution]
) -> Iterator[WeightFile]:
    """Open an `.npz` file.

    Args:
      path: the file, with kernels (height, width, in, out) and biases (out,) under
        names such as `block1_conv2/kernel`, `conv1_2/kernel` (the same layer) or
        `conv1/bias`.
      network: the layers to look for.

    Yields:
      Its arrays.
    """
    layers = {layer.name for layer in network}
    with np.load(path) as file:
        found = []
        for name in file.files:
            array = file[name]
            match = _KEY.fullmatch(name)
            key = None
            if match:
                block, other, number, plain, kind = match.groups()
                layer = plain or f"block{block or other}_conv{number}"
                key = (layer, kind) if layer in layers else None
            is_float = np.issubdtype(array.dtype, np.floating)
            stored = StoredArray(
                name, array.shape, str(array.dtype), is_float, lambda a=array: a
            )
            found.append((key, stored))
        arrays = index_arrays(path, found)
        yield WeightFile(path, "npz", "keras", arrays, file.files, {})
