"""Torchvision's naming of VGG19, shared by `.pth` and `.safetensors` files."""

import re
from collections.abc import Iterable

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS, Convolution

_KEY = re.compile(r"features\.(\d+)\.(weight|bias)")
_KINDS = {"weight": "kernel", "bias": "bias"}
_BY_INDEX = {str(layer.torchvision_index): layer for layer in VGG19_CONVOLUTIONS}


def torchvision_keys(path, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Find the convolutions among a state dict's keys.

    Args:
        path: the file, for messages.
        keys: all keys of the state dict.

    Returns:
        key -> (layer name, "kernel" or "bias"); keys outside `features` are left out.
    """
    named = {}
    for key in keys:
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        layer = _BY_INDEX.get(match[1])
        if layer is None:
            raise WeightsError(
                f"{path} has {key}, where VGG19 has no convolution, so it belongs to "
                "another network"
            )
        named[key] = (layer.name, _KINDS[match[2]])
    return named


def torchvision_name(layer: Convolution) -> str:
    """Name of a layer for messages, such as `features.16 (block3_conv4)`."""
    return f"features.{layer.torchvision_index} ({layer.name})"
