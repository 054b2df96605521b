"""VGG19 weights written as another kind of file.

Preprocessing, origin, SHA-256 of the original file and a digest of the arrays are
written, too: as an attribute of an `.h5`, among the module versions of a `.pth`, or as
metadata of `.safetensors`. `load_vgg19_weights` reads them; Keras and torchvision
ignore them.
"""

import io
import json
import os
import pathlib
from collections import OrderedDict
from typing import Any

import h5py
import numpy as np

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors, write_weights
from vgg_unpool_jax.pretrained.torchvision_pth import import_torch
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.pretrained.weight_file import KINDS, NOTE_KEY

_HWIO_TO_OIHW = (3, 2, 0, 1)


def save_weights(weights: VGG19Weights, path: str | os.PathLike) -> None:
    """Write weights as the kind of file given by the path's suffix.

    Args:
      weights: up to blockX_conv2.
      path: ending in `.h5`, `.safetensors` or `.pth`, which needs PyTorch. An existing
        file is replaced.
    """
    suffix = pathlib.PurePath(path).suffix
    if suffix == ".safetensors":
        save_safetensors(weights, path)
    elif suffix == ".h5":
        write_weights(path, _keras_h5(weights))
    elif suffix == ".pth":
        write_weights(path, _torchvision_pth(weights, path))
    else:
        raise WeightsError(
            f"the weight file must end in .h5, .pth or .safetensors, got {path}"
        )


def _keras_h5(weights: VGG19Weights) -> bytes:
    """Keras 2's layout of a weight file, which Keras 3 reads as well."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in weights.params]
        file.attrs[NOTE_KEY] = json.dumps(weights.note())
        for layer, arrays in weights.params.items():
            group = file.create_group(layer)
            names = [f"{layer}/{kind}:0" for kind in KINDS]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for kind, name in zip(KINDS, names, strict=True):
                group.create_dataset(name, data=np.asarray(arrays[kind], np.float32))
    return buffer.getvalue()


def _torchvision_pth(weights: VGG19Weights, path) -> bytes:
    """A state dict with torchvision's keys of VGG19."""
    torch = import_torch(f"the PyTorch file {path}")
    state: OrderedDict[str, Any] = OrderedDict()
    for layer in VGG19_CONVOLUTIONS[: len(weights.params)]:
        arrays = weights.params[layer.name]
        kernel = np.transpose(np.asarray(arrays["kernel"], np.float32), _HWIO_TO_OIHW)
        name = f"features.{layer.torchvision_index}"
        state[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel))
        state[f"{name}.bias"] = torch.from_numpy(np.array(arrays["bias"], np.float32))
    # Where `Module.state_dict` keeps the versions of the modules, by their names.
    state._metadata = OrderedDict(
        {"": {"version": 1}, NOTE_KEY: json.dumps(weights.note())}
    )
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
