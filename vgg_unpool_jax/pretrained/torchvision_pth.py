"""Reader of PyTorch's `.pth` files with torchvision's VGG19."""

import os
from collections.abc import Mapping

import numpy as np

from vgg_unpool_jax.errors import WeightsError, first_line
from vgg_unpool_jax.pretrained.collect import StoredArray, collect_params
from vgg_unpool_jax.pretrained.torchvision_layout import (
    torchvision_keys,
    torchvision_name,
)


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
            f"reading {what} needs PyTorch, which cannot be imported "
            f"({first_line(error)}): run `pip install torch --index-url "
            "https://download.pytorch.org/whl/cpu`, or convert the file where PyTorch "
            "is installed with vgg_unpool_jax.weights' load_vgg19_weights and "
            "save_safetensors"
        ) from error
    return torch


def read_torchvision_pth(
    path: os.PathLike, *, block: int, zipped: bool = True
) -> dict[str, dict[str, np.ndarray]]:
    """Read the convolutions of an encoder from a state dict of torchvision's VGG19.

    Only tensors and plain containers are unpickled, never objects that could run code.

    Args:
        path: the file, with keys `features.N.weight` (out, in, 3, 3) and
            `features.N.bias` (out,).
        block: the encoder is cut at block`block`_conv2, 1 to 5.
        zipped: False for the format before PyTorch 1.6, which is not a zip archive.

    Returns:
        layer name -> {"kernel": float32 (3, 3, in, out), "bias": float32 (out,)}.
    """
    torch = import_torch(f"the PyTorch file {path}")
    try:
        # Mapped, the fully connected layers (nine tenths of the file) are never read;
        # the old format cannot be mapped.
        state = torch.load(
            os.fspath(path), map_location="cpu", weights_only=True, mmap=zipped
        )
        if not isinstance(state, Mapping):
            raise WeightsError(
                f"{path} holds a {type(state).__name__}, wanted a state dict with keys "
                "such as features.0.weight"
            )
        found = [str(key) for key in state]
        stored = {}
        for key, target in torchvision_keys(path, found).items():
            stored[target] = _stored(torch, path, key, state[key])
        return collect_params(
            path,
            stored,
            block=block,
            kernel_axes="OIHW",
            found=found,
            name_in_file=torchvision_name,
        )
    except WeightsError:
        raise
    # torch.load answers damage with UnpicklingError, RuntimeError, EOFError, KeyError,
    # ValueError, AttributeError and others; to the user all of them mean the same.
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read as a PyTorch file of plain tensors, it is damaged, "
            f"incomplete or holds other objects ({first_line(error)})"
        ) from error


def _stored(torch, path, key: str, value) -> StoredArray:
    if not isinstance(value, torch.Tensor):
        raise WeightsError(
            f"{path}: {key} is a {type(value).__name__}, wanted a tensor"
        )

    def read() -> np.ndarray:
        return value.detach().to(torch.float32).numpy()

    return StoredArray(
        key, tuple(value.shape), str(value.dtype), value.is_floating_point(), read
    )
