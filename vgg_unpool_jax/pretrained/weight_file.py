"""The arrays in a weight file, and the checks that they belong to a network.

A reader lists the arrays of its file without reading their values. All formats are then
held to the same rules here.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.nets.vgg19_layers import Convolution

KINDS = ("kernel", "bias")
# Name of the attribute or entry with the note in `.h5` and `.pth` files.
NOTE_KEY = "vgg_unpool_jax_weights"

_OIHW_TO_HWIO = (2, 3, 1, 0)

Params = dict[str, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file that has not been read yet.

    Attributes:
      name: its name in the file.
      shape: its shape in the file's axis order.
      dtype: the file's name of its number type.
      is_float: whether that is a floating-point type.
      read: returns the values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_float: bool
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """The arrays of an open weight file.

    Attributes:
      path: the file.
      format: "keras", "torchvision", "safetensors" or "npz".
      layout: "keras" for kernels (height, width, in, out) under Keras' layer names,
        "torchvision" for (out, in, height, width) under indices of `features`.
      arrays: (layer name, "kernel" or "bias") -> array, for layers of the network.
      names: all names in the file, for messages.
      note: facts about the weights that the file records, see `VGG19Weights.note`.
    """

    path: pathlib.Path
    format: Literal["keras", "torchvision", "safetensors", "npz"]
    layout: Literal["keras", "torchvision"]
    arrays: Mapping[tuple[str, str], StoredArray]
    names: Sequence[str]
    note: Mapping[str, str]


def index_arrays(
    path: pathlib.Path,
    found: Sequence[tuple[tuple[str, str] | None, StoredArray]],
) -> dict[tuple[str, str], StoredArray]:
    """Arrays by layer and kind.

    Args:
      path: the file, for messages.
      found: each array with its layer name and kind, None for arrays of other layers.
    """
    arrays: dict[tuple[str, str], StoredArray] = {}
    for key, array in found:
        if key in arrays:
            raise WeightsError(
                f"{path} holds the {key[1]} of layer {key[0]} more than once "
                f"({arrays[key].name} and {array.name}), which is ambiguous"
            )
        if key is not None:
            arrays[key] = array
    return arrays


def present_layers(
    file: WeightFile, network: Sequence[Convolution]
) -> list[Convolution]:
    """The layers of a network that a file holds, first to last."""
    return [
        layer
        for layer in network
        if any((layer.name, kind) in file.arrays for kind in KINDS)
    ]


def check_network(
    file: WeightFile,
    network: Sequence[Convolution],
    needed: Sequence[Convolution],
    name: str,
) -> None:
    """Raise `WeightsError` unless a file holds layers of this network.

    Layers behind the needed ones are checked as well: the first layers of VGG16 look
    like those of VGG19, its later ones do not.

    Args:
      file: the file.
      network: all convolutions of the network.
      needed: those that must be there, from the first one on.
      name: of the network, for messages.
    """
    present = present_layers(file, network)
    if not present:
        shown = ", ".join(file.names[:4]) + (", ..." if len(file.names) > 4 else "")
        raise WeightsError(
            f"{file.path} holds no convolution of {name} (expected "
            f"{_name_in_file(file, network[0])}, found {shown or 'nothing'})"
        )
    last = max(network.index(present[-1]), network.index(needed[-1]))
    for layer in network[: last + 1]:
        if layer not in present:
            _raise_missing(file, layer, present, name)
        for kind in KINDS:
            _check_array(file, layer, kind, name)


def read_layers(file: WeightFile, layers: Sequence[Convolution]) -> Params:
    """Read layers of a checked file.

    Args:
      file: the file, after `check_network`.
      layers: those to read.

    Returns:
      layer name -> {"kernel": float32 (height, width, in, out), "bias": float32
      (out,)}.
    """
    return {
        layer.name: {kind: _read(file, layer, kind) for kind in KINDS}
        for layer in layers
    }


def _raise_missing(file, layer, present, name):
    missing = f"{file.path} has no layer {_name_in_file(file, layer)}"
    last = _name_in_file(file, present[-1])
    if present[-1].torchvision_index > layer.torchvision_index:
        hint = " (VGG16, for example, has three convolutions where VGG19 has four)"
        raise WeightsError(
            f"{missing} but has {last}, so it is not {name}"
            f"{hint if name == 'VGG19' else ''}"
        )
    raise WeightsError(f"{missing}, which is needed: its last layer is {last}")


def _check_array(file, layer, kind, name):
    array = file.arrays.get((layer.name, kind))
    if array is None:
        raise WeightsError(
            f"{file.path} has no {kind} for layer {_name_in_file(file, layer)}"
        )
    expected = layer.shape(kind)
    if kind == "kernel" and file.layout == "torchvision":
        expected = (expected[3], expected[2], *expected[:2])
    if tuple(array.shape) != expected:
        raise WeightsError(
            f"{file.path}: the {kind} of layer {layer.name} ({array.name}) has shape "
            f"{tuple(array.shape)}, in {name} it has shape {expected}"
        )
    if not array.is_float:
        raise WeightsError(
            f"{file.path}: the {kind} of layer {layer.name} ({array.name}) has the "
            f"number type {array.dtype}, expected floating point"
        )


def _read(file, layer, kind) -> np.ndarray:
    array = file.arrays[layer.name, kind]
    # A float64 beyond float32's range becomes infinite, which is reported below.
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(array.read()).astype(np.float32)
    if not np.isfinite(values).all():
        raise WeightsError(
            f"{file.path}: the {kind} of layer {layer.name} ({array.name}) holds NaN "
            "or infinite values, so the file is damaged"
        )
    if kind == "kernel" and file.layout == "torchvision":
        values = values.transpose(_OIHW_TO_HWIO)
    # A writable copy in C order: a view would keep the whole file mapped.
    return np.array(values, order="C")


def _name_in_file(file, layer) -> str:
    if file.layout == "torchvision":
        return f"features.{layer.torchvision_index} ({layer.name})"
    return layer.name
