"""Reader and writer of VGG19 in `.safetensors` files."""

import os
import pathlib
import re
from collections.abc import Mapping

# Comes with jax; once imported, NumPy and so safetensors know bfloat16.
import ml_dtypes  # noqa: F401
import numpy as np
import safetensors
import safetensors.numpy

from vgg_unpool_jax.errors import WeightsError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS, convolutions_up_to
from vgg_unpool_jax.pretrained.collect import StoredArray, collect_params
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.pretrained.torchvision_layout import (
    torchvision_keys,
    torchvision_name,
)
from vgg_unpool_jax.pretrained.vgg19 import (
    KINDS,
    PREPROCESSINGS,
    VGG19Weights,
    arrays_sha256,
)

_KEY = re.compile(r"(block\d+_conv\d+)[/.](kernel|bias)")
_LAYER_NAMES = frozenset(layer.name for layer in VGG19_CONVOLUTIONS)


def read_safetensors(path: os.PathLike, *, block: int) -> VGG19Weights:
    """Read the weights of an encoder from a `.safetensors` file.

    Two layouts are known: our own (`block1_conv1/kernel` or `block1_conv1.kernel`, axes
    HWIO, with the entry `preprocessing` in the metadata) and torchvision's
    (`features.0.weight`, axes OIHW; `preprocessing` is `"torchvision"` unless the
    metadata say otherwise).

    A file that `save_safetensors` wrote keeps the origin and the SHA-256 of the weights
    it was made from, as a copy of them; its arrays are held against the digest in it.

    Args:
        path: the file.
        block: the encoder is cut at block`block`_conv2, 1 to 5.

    Returns:
        The weights.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            found = sorted(file.keys())
            if any(_KEY.fullmatch(key) for key in found):
                params = _read_own_layout(path, file, found, block)
                preprocessing = _preprocessing(path, metadata, None)
                copied = _copied_identity(path, file, found, metadata)
            else:
                params = _read_torchvision_layout(path, file, found, block)
                preprocessing = _preprocessing(path, metadata, "torchvision")
                copied = None
    except WeightsError:
        raise
    # safetensors answers damage with SafetensorError, OSError, ValueError, TypeError
    # and others; to the user all of them mean the same.
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read as a safetensors file, it is damaged or incomplete "
            f"({first_line(error)})"
        ) from error
    name = pathlib.Path(path).name
    origin, sha256 = copied or (f"safetensors:{name}", file_digest(path, "sha256"))
    return VGG19Weights(params, preprocessing, origin, sha256)


def save_safetensors(weights: VGG19Weights, path: str | os.PathLike):
    """Write weights into a `.safetensors` file that needs neither h5py nor PyTorch.

    Keys are `block1_conv1/kernel` (3, 3, in, out) and `block1_conv1/bias` (out,), all
    float32. The metadata hold `preprocessing`, `origin`, `sha256` (of the original
    file, not of this one) and `arrays_sha256`. The file is written aside and renamed:
    an interrupted run leaves an existing file as it was.

    Args:
        weights: any weights, of any cut.
        path: the file to write; missing parent folders are made.
    """
    path = to_path(path)
    _check_params(weights.params)
    tensors = {
        f"{name}/{kind}": np.asarray(layer[kind], np.float32)
        for name, layer in weights.params.items()
        for kind in KINDS
    }
    metadata = {
        "preprocessing": weights.preprocessing,
        "origin": weights.origin,
        "sha256": weights.sha256,
        "arrays_sha256": arrays_sha256(weights.params),
    }
    try:
        with replacing(path) as file:
            file.write(safetensors.numpy.save(tensors, metadata))
    except OSError as error:
        raise WeightsError(
            f"the weights cannot be written to {path} ({first_line(error)})"
        ) from error


def _check_params(params: Mapping[str, Mapping[str, np.ndarray]]):
    cuts = {len(convolutions_up_to(block)): block for block in (1, 2, 3, 4, 5)}
    layers = VGG19_CONVOLUTIONS[: len(params)]
    if len(params) not in cuts or any(layer.name not in params for layer in layers):
        raise ValueError(
            "weights.params must hold the layers from block1_conv1 to a blockX_conv2, "
            f"got {sorted(params)}"
        )
    for layer in layers:
        for kind in KINDS:
            shape = np.shape(params[layer.name][kind])
            if shape != layer.shape(kind):
                raise ValueError(
                    f"the {kind} of layer {layer.name} has shape {shape}, wanted "
                    f"{layer.shape(kind)}"
                )


def _preprocessing(path, metadata, default):
    value = metadata.get("preprocessing", default)
    if value not in PREPROCESSINGS:
        said = "does not say" if value is None else f"says {value!r}"
        raise WeightsError(
            f"{path} {said} in its metadata under 'preprocessing' which input its "
            f"weights want, wanted one of {', '.join(PREPROCESSINGS)}"
        )
    return value


def _read_own_layout(path, file, found, block):
    stored = {}
    for key in found:
        match = _KEY.fullmatch(key)
        if match is None or match[1] not in _LAYER_NAMES:
            continue
        target = (match[1], match[2])
        if target in stored:
            raise WeightsError(
                f"{path} holds the {target[1]} of layer {target[0]} more than once "
                f"({stored[target].name} and {key}), so it is not clear which to take"
            )
        stored[target] = _stored(file, key)
    return collect_params(path, stored, block=block, kernel_axes="HWIO", found=found)


def _read_torchvision_layout(path, file, found, block):
    stored = {
        target: _stored(file, key)
        for key, target in torchvision_keys(path, found).items()
    }
    return collect_params(
        path,
        stored,
        block=block,
        kernel_axes="OIHW",
        found=found,
        name_in_file=torchvision_name,
    )


def _stored(file, key: str) -> StoredArray:
    piece = file.get_slice(key)
    dtype = piece.get_dtype()
    is_float = dtype in ("F16", "BF16", "F32", "F64")
    shape = tuple(piece.get_shape())
    return StoredArray(key, shape, dtype, is_float, lambda: file.get_tensor(key))


def _copied_identity(path, file, found, metadata) -> tuple[str, str] | None:
    """Origin and SHA-256 of the weights that the file is a copy of, if it is one."""
    wanted = ("origin", "sha256", "arrays_sha256")
    if not all(key in metadata for key in wanted):
        return None
    # All layers, not only those up to the cut: the digest was made over all of them.
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for key in found:
        match = _KEY.fullmatch(key)
        if match is not None:
            arrays.setdefault(match[1], {})[match[2]] = file.get_tensor(key)
    if arrays_sha256(arrays) != metadata["arrays_sha256"]:
        raise WeightsError(
            f"{path} was changed after it was written: its arrays do not have the "
            "SHA-256 that its metadata say"
        )
    return metadata["origin"], metadata["sha256"]
