"""Reader of PyTorch's `.pth` files with a network of torchvision."""

import contextlib
import json
import pathlib
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vgg_unpool_jax.errors import WeightsError, first_line
from vgg_unpool_jax.nets.vgg19_layers import Convolution
from vgg_unpool_jax.pretrained.weight_file import (
    NOTE_KEY,
    StoredArray,
    WeightFile,
    index_arrays,
)

_KEY = re.compile(r"features\.(\d+)\.(weight|bias)")
_KINDS = {"weight": "kernel", "bias": "bias"}


def import_torch(what: str):
    """Import PyTorch, which is not a requirement of this package.

    Args:
      what: the file that needs it, for the message.

    Returns:
      The module `torch`.
    """
    try:
        import torch
    # OSError: an installation whose shared libraries do not load.
    except (ImportError, OSError) as error:
        raise WeightsError(
            f"{what} needs PyTorch, which cannot be imported ({first_line(error)}): "
            "run `pip install torch "
            "--index-url https://download.pytorch.org/whl/cpu`, or "
            "convert the file with convert_weights where PyTorch is installed"
        ) from error
    return torch


def torchvision_key(
    path: pathlib.Path, name: str, network: Sequence[Convolution]
) -> tuple[str, str] | None:
    """Layer name and kind of an entry of a state dict.

    Args:
      path: the file, for messages.
      name: of the entry, such as "features.0.weight".
      network: the layers, whose indices in `features` are known.

    Returns:
      Layer name and "kernel" or "bias"; None for entries outside `features`.
    """
    match = _KEY.fullmatch(name)
    if match is None:
        return None
    for layer in network:
        if str(layer.torchvision_index) == match[1]:
            return layer.name, _KINDS[match[2]]
    raise WeightsError(
        f"{path} has {name}, where the expected network has no convolution, so it "
        "belongs to another network"
    )


@contextlib.contextmanager
def open_torchvision_pth(
    path: pathlib.Path, network: Sequence[Convolution], *, zipped: bool = True
) -> Iterator[WeightFile]:
    """Open a state dict of torchvision.

    Only tensors and plain containers are unpickled, never objects that could run code.

    Args:
      path: the file, with keys `features.N.weight` (out, in, height, width) and
        `features.N.bias` (out,).
      network: the layers to look for.
      zipped: False for the format before PyTorch 1.6, which is not a zip archive.

    Yields:
      Its arrays.
    """
    torch = import_torch(f"the PyTorch file {path}")
    # Mapped, the fully connected layers (nine tenths of the file) are never read; the
    # old format cannot be mapped.
    try:
        state = torch.load(
            str(path), map_location="cpu", weights_only=True, mmap=zipped
        )
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} cannot be read, it is damaged or holds other objects than tensors"
        ) from error
    if not isinstance(state, Mapping):
        raise WeightsError(
            f"{path} holds a {type(state).__name__}, expected a state dict with keys "
            "such as features.0.weight"
        )
    found = []
    for name, value in state.items():
        key = torchvision_key(path, str(name), network)
        if key is not None:
            found.append((key, _stored(torch, path, name, value)))
    versions = getattr(state, "_metadata", None) or {}
    note = {"preprocessing": "torchvision", **json.loads(versions.get(NOTE_KEY, "{}"))}
    names = [str(name) for name in state]
    arrays = index_arrays(path, found)
    yield WeightFile(path, "torchvision", "torchvision", arrays, names, note)


def _stored(torch, path, name: str, value) -> StoredArray:
    if not isinstance(value, torch.Tensor):
        raise WeightsError(
            f"{path}: {name} is a {type(value).__name__}, expected a tensor"
        )

    def read() -> np.ndarray:
        return value.detach().to(torch.float32).numpy()

    return StoredArray(
        name, tuple(value.shape), str(value.dtype), value.is_floating_point(), read
    )
