"""VGG19 weights from one kind of file into another.

What the weights are stays with them: preprocessing, origin, SHA-256 of the original
file and a digest of the arrays go into the new file, as an attribute of an `.h5`, among
the versions that a `.pth` keeps of its modules, or as metadata of `.safetensors`.
`load_vgg19_weights` reads them back; Keras and torchvision pass over them.
"""

import io
import os
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from vgg_unpool_jax.errors import WeightsError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.pretrained.identity import KEY, identity_text
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.torchvision_pth import import_torch
from vgg_unpool_jax.pretrained.vgg19 import KINDS, VGG19Weights

SUFFIXES = (".h5", ".pth", ".safetensors")

_KERAS_SUFFIX = ".keras"
_KERAS_WEIGHTS = "model.weights.h5"
_HWIO_TO_OIHW = (3, 2, 0, 1)


def read_weights(path: str | os.PathLike) -> VGG19Weights:
    """Read weights of any kind of file, also out of a `.keras` archive.

    Args:
      path: the file, local or gs://.

    Returns:
      All layers that encoders use, up to block5_conv2.
    """
    if True:
        file = to_path(path)
        if file.suffix != _KERAS_SUFFIX or not file.is_file():
            return load_vgg19_weights(file)
        with tempfile.TemporaryDirectory(prefix="vgg_unpool_jax-") as folder:
            try:
                with zipfile.ZipFile(file) as archive:
                    inner = archive.extract(_KERAS_WEIGHTS, folder)
            # zipfile answers damage with BadZipFile, zlib.error, EOFError and others.
            except Exception as error:
                raise WeightsError(
                    f"{path} is damaged or incomplete ({first_line(error)})"
                ) from error
            try:
                weights = load_vgg19_weights(inner)
            except WeightsError as error:
                said = str(error).replace(str(inner), f"{path}:{_KERAS_WEIGHTS}")
                raise WeightsError(said) from error
        origin, sha256 = f"keras:{to_path(path).name}", file_digest(file, "sha256")
        return replace(weights, origin=origin, sha256=sha256)


def save_weights(weights: VGG19Weights, path: str | os.PathLike) -> None:
    """Write weights as the kind of file that the path's ending says.

    Args:
      weights: up to blockX_conv2.
      path: ending in one of `SUFFIXES`; `.pth` needs PyTorch. A file that is there is
        replaced.
    """
    suffix = to_path(path).suffix
    writers = {".h5": _keras_h5, ".pth": _torchvision_pth}
    if suffix == ".safetensors":
        save_safetensors(weights, path)
        return
    if suffix not in writers:
        raise WeightsError(
            f"the weights' file must end in {', '.join(SUFFIXES)}, got {path}"
        )
    content = writers[suffix](weights, path)
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise WeightsError(
            f"the weights cannot be written to {path} ({first_line(error)})"
        ) from error


def _keras_h5(weights: VGG19Weights, path) -> bytes:
    """Keras 2's layout of a weight file, which Keras 3 reads as well."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in weights.params]
        file.attrs[KEY] = identity_text(weights)
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
        place = f"features.{layer.torchvision_index}"
        state[f"{place}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel))
        state[f"{place}.bias"] = torch.from_numpy(np.array(arrays["bias"], np.float32))
    # Where `Module.state_dict` keeps the versions of the modules, by their names.
    metadata: Mapping[str, Any] = {"": {"version": 1}, KEY: identity_text(weights)}
    state._metadata = OrderedDict(metadata)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
