"""Reader of Keras' HDF5 files, with and without the classifier on top."""

import os
import re

import h5py
import numpy as np

from vgg_unpool_jax.errors import WeightsError, first_line
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS
from vgg_unpool_jax.pretrained.collect import StoredArray, collect_params

_LAYER_NAMES = frozenset(layer.name for layer in VGG19_CONVOLUTIONS)
# Keras 1 wrote `block1_conv1_W_1:0`, Keras 2 `kernel:0`, Keras 3 `kernel`.
_LEAF = re.compile(r"(?:^|_)(?:(?P<kernel>W|kernel)|(?P<bias>b|bias))(?:_\d+)?(?::0)?$")
# Keras 3's `.weights.h5` numbers a layer's arrays in the order of their creation.
_NUMBERED = {"0": "kernel", "1": "bias"}
# A whole saved model also holds the optimizer's moments under the layers' names.
# (`optimizer_weights` in old files, `optimizer` in new ones).
_OPTIMIZER = "optimizer"


def read_keras_h5(path: os.PathLike, *, block: int) -> dict[str, dict[str, np.ndarray]]:
    """Read the convolutions of an encoder from a Keras HDF5 file.

    Takes the weight files of Keras 1 to 3 (`.h5` and `.weights.h5`) and whole models
    saved as `.h5`, also where VGG19 is a part of the saved model.

    Args:
        path: the file.
        block: the encoder is cut at block`block`_conv2, 1 to 5.

    Returns:
        layer name -> {"kernel": float32 (3, 3, in, out), "bias": float32 (out,)}.
    """
    try:
        with h5py.File(path, "r") as file:
            stored, found = _list_arrays(path, file)
            return collect_params(
                path, stored, block=block, kernel_axes="HWIO", found=found
            )
    except WeightsError:
        raise
    # h5py answers damage with OSError, RuntimeError, KeyError, ValueError and others,
    # depending on which structure is hit; to the user all of them mean the same.
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read as an HDF5 file, it is damaged or incomplete "
            f"({first_line(error)})"
        ) from error


def _list_arrays(path, file: h5py.File):
    """List VGG19's arrays in the file, and the names of all its arrays."""
    stored: dict[tuple[str, str], StoredArray] = {}
    found: list[str] = []

    def visit(name, item):
        if not isinstance(item, h5py.Dataset) or name.startswith(_OPTIMIZER):
            return
        found.append(name)
        key = _layer_and_kind(name, item)
        if key is None:
            return
        if key in stored:
            raise WeightsError(
                f"{path} holds the {key[1]} of layer {key[0]} more than once "
                f"({stored[key].name} and {name}), so it is not clear which to take"
            )
        is_float = np.issubdtype(item.dtype, np.floating)
        stored[key] = StoredArray(
            name, item.shape, str(item.dtype), is_float, lambda: item[()]
        )

    file.visititems(visit)
    return stored, found


def _layer_and_kind(name: str, item: h5py.Dataset) -> tuple[str, str] | None:
    *groups, leaf = name.split("/")
    if groups and groups[-1] == "vars":
        # Keras 3 names these groups by class (`conv2d_7`) and keeps the layer's own
        # name in an attribute; earlier releases of it named the group by the layer.
        layer = item.parent.attrs.get("name", groups[-2] if len(groups) > 1 else "")
        layer = layer.decode() if isinstance(layer, bytes) else str(layer)
        kind = _NUMBERED.get(leaf)
    else:
        layer = next((group for group in groups if group in _LAYER_NAMES), "")
        match = _LEAF.search(leaf)
        kind = match.lastgroup if match else None
    return (layer, kind) if layer in _LAYER_NAMES and kind else None
