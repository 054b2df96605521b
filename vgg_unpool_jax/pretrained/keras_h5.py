"""Reader of Keras' HDF5 files, with and without the classifier on top."""

import contextlib
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

from vgg_unpool_jax.nets.vgg19_layers import Convolution
from vgg_unpool_jax.pretrained.weight_file import (
    NOTE_KEY,
    StoredArray,
    WeightFile,
    index_arrays,
)

# The file inside a `.keras` archive.
ARCHIVED = "model.weights.h5"

# Keras 1 wrote `block1_conv1_W_1:0`, Keras 2 `kernel:0`, Keras 3 `kernel`.
_LEAF = re.compile(r"(?:^|_)(?:(?P<kernel>W|kernel)|(?P<bias>b|bias))(?:_\d+)?(?::0)?$")
# Keras 3's `.weights.h5` numbers a layer's arrays in the order of their creation.
_NUMBERED = {"0": "kernel", "1": "bias"}
# A whole saved model also holds the optimizer's moments under the layers' names
# (`optimizer_weights` in old files, `optimizer` in new ones).
_OPTIMIZER = "optimizer"


@contextlib.contextmanager
def open_keras_h5(
    path: pathlib.Path, network: Sequence[Convolution], *, archived: bool = False
) -> Iterator[WeightFile]:
    """Open a Keras HDF5 file.

    Reads the weight files of Keras 1 to 3 (`.h5` and `.weights.h5`) and whole models
    saved as `.h5`, also where the network is a part of the saved model.

    Args:
      path: the file.
      network: the layers to look for, by their Keras names.
      archived: True for a `.keras` archive.

    Yields:
      Its arrays, with kernels (height, width, in, out).
    """
    import h5py

    content = path
    if archived:
        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read(ARCHIVED))
    layers = {layer.name for layer in network}
    with h5py.File(content, "r") as file:
        found = []

        def visit(name, item):
            if isinstance(item, h5py.Dataset) and not name.startswith(_OPTIMIZER):
                key = _layer_and_kind(name, item, layers)
                is_float = np.issubdtype(item.dtype, np.floating)
                dtype = str(item.dtype)
                array = StoredArray(name, item.shape, dtype, is_float, lambda: item[()])
                found.append((key, array))

        file.visititems(visit)
        names = [array.name for _, array in found]
        note = {"preprocessing": "caffe", **json.loads(file.attrs.get(NOTE_KEY, "{}"))}
        arrays = index_arrays(path, found)
        yield WeightFile(path, "keras", "keras", arrays, names, note)


def _layer_and_kind(name: str, item, layers) -> tuple[str, str] | None:
    *groups, leaf = name.split("/")
    if groups and groups[-1] == "vars":
        # Keras 3 names these groups by class (`conv2d_7`) and keeps the layer's own
        # name in an attribute; earlier releases of it named the group by the layer.
        layer = item.parent.attrs.get("name", groups[-2] if len(groups) > 1 else "")
        layer = layer.decode() if isinstance(layer, bytes) else str(layer)
        kind = _NUMBERED.get(leaf)
    else:
        layer = next((group for group in groups if group in layers), "")
        match = _LEAF.search(leaf)
        kind = match.lastgroup if match else None
    return (layer, kind) if layer in layers and kind else None
