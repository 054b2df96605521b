"""What a converted weight file says of the weights in it."""

import json
import os
from collections.abc import Callable, Mapping

import h5py
import numpy as np

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.nets.vgg19_layers import (
    NUM_BLOCKS,
    PREPROCESSINGS,
    convolutions_up_to,
)
from vgg_unpool_jax.pretrained.formats import Format
from vgg_unpool_jax.pretrained.torchvision_pth import import_torch
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights, arrays_sha256

# Of the attribute or entry that holds it.
KEY = "vgg_unpool_jax_weights"

_FIELDS = ("preprocessing", "origin", "sha256", "arrays_sha256")
_Params = Mapping[str, Mapping[str, np.ndarray]]


def identity_text(weights: VGG19Weights) -> str:
    """What a file is to say of weights, as JSON."""
    cuts = {len(convolutions_up_to(b)): b for b in range(1, NUM_BLOCKS + 1)}
    block = cuts.get(len(weights.params))
    if block is None:
        raise ValueError(
            "weights.params must hold the layers from block1_conv1 to a blockX_conv2, "
            f"got {sorted(weights.params)}"
        )
    identity = {
        "preprocessing": weights.preprocessing,
        "origin": weights.origin,
        "sha256": weights.sha256,
        "arrays_sha256": arrays_sha256(weights.params),
        "block": block,
    }
    return json.dumps(identity)


def identify(
    path: os.PathLike, kind: Format, read: Callable[[int], _Params]
) -> tuple[str, str, str] | None:
    """Preprocessing, origin and SHA-256 of weights that a converted file is a copy of.

    Args:
      path: the file, of which the arrays were read before.
      kind: of the file.
      read: of a block, returns the layers up to its cut.

    Returns:
      The three, or None for a file that says nothing.
    """
    readers = {Format.KERAS_H5: _h5_text, Format.TORCH_ZIP: _pth_text}
    text = readers[kind](path) if kind in readers else None
    if text is None:
        return None
    try:
        identity = json.loads(text)
        values = [identity[field] for field in _FIELDS]
        block = identity["block"]
    except (KeyError, TypeError, ValueError):
        values, block = [], None
    if (
        block not in range(1, NUM_BLOCKS + 1)
        or not all(isinstance(v, str) and v.isprintable() for v in values)
        or values[0] not in PREPROCESSINGS
    ):
        raise WeightsError(f"{path} says nothing of use under {KEY!r} of its weights")
    if arrays_sha256(read(block)) != values[3]:
        raise WeightsError(
            f"{path} was changed after it was written: its arrays do not have the "
            "SHA-256 that its metadata say"
        )
    return values[0], values[1], values[2]


def _h5_text(path: os.PathLike) -> str | None:
    """The same from an HDF5 file that was read before; None where it has none."""
    with h5py.File(path, "r") as file:
        return file.attrs.get(KEY)


def _pth_text(path: os.PathLike) -> str | None:
    """The same from a PyTorch file, a zip archive, that was read before."""
    torch = import_torch(f"the PyTorch file {path}")
    # Mapped: nothing is read of the arrays.
    state = torch.load(
        os.fspath(path), map_location="cpu", weights_only=True, mmap=True
    )
    versions = getattr(state, "_metadata", None)
    return versions.get(KEY) if isinstance(versions, Mapping) else None
