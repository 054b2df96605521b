"""Checks shared by all readers: stored arrays -> parameters of an encoder.

A reader lists what its file holds without reading the values. Everything that makes
a file VGG19 is checked here, so that all formats are held to the same rules.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.nets.vgg19_layers import (
    VGG19_CONVOLUTIONS,
    Convolution,
    convolutions_up_to,
)
from vgg_unpool_jax.pretrained.vgg19 import KINDS

# From axes (out, in, height, width) to (height, width, in, out).
_OIHW_TO_HWIO = (2, 3, 1, 0)


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array inside a file, not read yet.

    Attributes:
        name: its name in the file, for messages.
        shape: its shape in the file's own axis order.
        dtype: the file's name of its number type, for messages.
        is_float: whether that is a floating-point type.
        read: returns the values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_float: bool
    read: Callable[[], np.ndarray]


Stored = Mapping[tuple[str, str], StoredArray]


def collect_params(
    path: os.PathLike,
    stored: Stored,
    *,
    block: int,
    kernel_axes: str,
    found: Sequence[str],
    name_in_file: Callable[[Convolution], str] = lambda layer: layer.name,
) -> dict[str, dict[str, np.ndarray]]:
    """Check that a file holds VGG19 and read what an encoder needs of it.

    Every convolution in the file is checked, also behind the cut: the first layers of
    VGG16 look like those of VGG19, its later ones do not.

    Args:
        path: the file, for messages.
        stored: (layer name, "kernel" or "bias") -> array; other layers left out.
        block: the encoder is cut at block`block`_conv2, 1 to 5.
        kernel_axes: axis order of the file's kernels, "HWIO" or "OIHW".
        found: names in the file, shown when it holds nothing of VGG19.
        name_in_file: how the file's layout calls a layer, for messages.

    Returns:
        layer name -> {"kernel": float32 (3, 3, in, out), "bias": float32 (out,)}.
    """
    present = [
        layer
        for layer in VGG19_CONVOLUTIONS
        if any((layer.name, kind) in stored for kind in KINDS)
    ]
    if not present:
        shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
        raise WeightsError(
            f"{path} holds no convolution of VGG19 (wanted "
            f"{name_in_file(VGG19_CONVOLUTIONS[0])}, found {shown or 'nothing'})"
        )
    _check_no_layer_missing(path, present, block, name_in_file)
    for layer in present:
        for kind in KINDS:
            _check_stored(path, stored, layer, kind, kernel_axes, name_in_file)
    return {
        layer.name: {
            kind: _read(path, stored[layer.name, kind], layer, kind, kernel_axes)
            for kind in KINDS
        }
        for layer in convolutions_up_to(block)
    }


def _check_no_layer_missing(path, present, block, name_in_file):
    last = max(present[-1], convolutions_up_to(block)[-1], key=VGG19_CONVOLUTIONS.index)
    for layer in VGG19_CONVOLUTIONS[: VGG19_CONVOLUTIONS.index(last) + 1]:
        if layer in present:
            continue
        missing = f"{path} has no layer {name_in_file(layer)}"
        later = [p for p in present if p.torchvision_index > layer.torchvision_index]
        if later:
            raise WeightsError(
                f"{missing} but has {name_in_file(later[-1])}, so it is not "
                "VGG19 (VGG16, for example, has three convolutions where VGG19 has "
                "four)"
            )
        raise WeightsError(
            f"{missing}: it ends at {name_in_file(present[-1])}, and an encoder cut at "
            f"block{block}_conv2 needs every convolution up to there"
        )


def _check_stored(path, stored, layer, kind, kernel_axes, name_in_file):
    array = stored.get((layer.name, kind))
    if array is None:
        raise WeightsError(f"{path} has no {kind} for layer {name_in_file(layer)}")
    wanted = layer.shape(kind)
    if kind == "kernel" and kernel_axes == "OIHW":
        wanted = (layer.outputs, layer.inputs, 3, 3)
    if tuple(array.shape) != wanted:
        raise WeightsError(
            f"{path}: the {kind} of layer {layer.name} ({array.name}) has shape "
            f"{tuple(array.shape)}, VGG19 wants {wanted}"
        )
    if not array.is_float:
        raise WeightsError(
            f"{path}: the {kind} of layer {layer.name} ({array.name}) holds numbers of "
            f"type {array.dtype}, wanted floating point"
        )


def _read(path, array: StoredArray, layer, kind, kernel_axes) -> np.ndarray:
    # A float64 beyond float32's range becomes infinite, which is reported below.
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(array.read()).astype(np.float32)
    if not np.isfinite(values).all():
        raise WeightsError(
            f"{path}: the {kind} of layer {layer.name} ({array.name}) holds NaN or "
            "infinite values, so the file is damaged"
        )
    if kind == "kernel" and kernel_axes == "OIHW":
        values = values.transpose(_OIHW_TO_HWIO)
    # A writable copy in C order: a view would keep the whole file mapped.
    return np.array(values, order="C")
