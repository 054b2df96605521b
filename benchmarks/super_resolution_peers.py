"""Networks of other programs that enlarge photos by 4, in torch, from their weights.

RFDN (433,448 parameters) and SPAN (150,688, its training branches merged).

Source: njulj/RFDN; hongyuanyu/SPAN, weights of Amazingren/NTIRE2026_ESR.
"""

import os
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import torch_ops

FACTOR = 4
_DEVICE = torch_ops.device()
# Photo (h, w, 3) in [0, 255] -> (4 h, 4 w, 3).
Peer = Callable[[np.ndarray], np.ndarray]


class _Layers:
    """Convolutions by name, from a file."""

    def __init__(self, path: str | os.PathLike, suffix: str = ""):
        self._arrays = torch.load(path, weights_only=True, map_location=_DEVICE)
        self._suffix = suffix

    def __call__(self, name: str, x: torch.Tensor, **options) -> torch.Tensor:
        plain = f"{name}.weight" in self._arrays
        name = name if plain else f"{name}{self._suffix}"
        weight, bias = (self._arrays[f"{name}.{part}"] for part in ("weight", "bias"))
        return F.conv2d(
            x, weight, bias, **{"padding": weight.shape[-1] // 2, **options}
        )


def load_rfdn(path: str | os.PathLike) -> Peer:
    """RFDN; photos are in [0, 255]."""
    layers = _Layers(path)

    def activate(x):
        return F.leaky_relu(x, 0.05)

    def attend(name, x):
        first = layers(f"{name}.conv1", x)
        low = layers(f"{name}.conv2", first, stride=2, padding=0)
        low = F.max_pool2d(low, kernel_size=7, stride=3)
        low = F.relu(layers(f"{name}.conv_max", low))
        low = F.relu(layers(f"{name}.conv3", low))
        low = layers(f"{name}.conv3_", low)
        high = F.interpolate(low, x.shape[2:], mode="bilinear", align_corners=False)
        mask = layers(f"{name}.conv4", high + layers(f"{name}.conv_f", first))
        return x * torch.sigmoid(mask)

    def block(name, x):
        kept = []
        for number in (1, 2, 3):
            kept.append(activate(layers(f"{name}.c{number}_d", x)))
            x = activate(layers(f"{name}.c{number}_r", x) + x)
        kept.append(activate(layers(f"{name}.c4", x)))
        return attend(f"{name}.esa", layers(f"{name}.c5", torch.cat(kept, 1)))

    @torch.no_grad()
    def upscale(photo: np.ndarray) -> np.ndarray:
        first = x = layers("fea_conv", _image(photo))
        outputs = []
        for number in (1, 2, 3, 4):
            x = block(f"B{number}", x)
            outputs.append(x)
        x = activate(layers("c.0", torch.cat(outputs, 1)))
        x = layers("LR_conv", x) + first
        return _photo(F.pixel_shuffle(layers("upsampler.0", x), FACTOR))

    return upscale


def load_span(path: str | os.PathLike) -> Peer:
    """SPAN; inputs are in [0, 255] less their mean, outputs in [0, 1]."""
    layers = _Layers(path, ".eval_conv")
    mean = 255 * torch.tensor([0.4488, 0.4371, 0.4040], device=_DEVICE)
    mean = mean[None, :, None, None]

    def block(name, x):
        first = layers(f"{name}.c1_r", x)
        inner = layers(f"{name}.c2_r", F.silu(first))
        inner = layers(f"{name}.c3_r", F.silu(inner))
        return (inner + x) * (torch.sigmoid(inner) - 0.5), F.silu(first)

    @torch.no_grad()
    def upscale(photo: np.ndarray) -> np.ndarray:
        first = x = layers("conv_1", _image(photo) - mean)
        outputs = []
        for number in range(1, 7):
            x, inner = block(f"block_{number}", x)
            outputs.append(x)
        last = layers("conv_2", x)
        kept = torch.cat([first, last, outputs[0], inner], 1)
        x = layers("conv_cat", kept)
        return _photo(255 * F.pixel_shuffle(layers("upsampler.0", x), FACTOR))

    return upscale


PEERS = {"rfdn": load_rfdn, "span": load_span}


def _image(photo: np.ndarray) -> torch.Tensor:
    image = torch.from_numpy(np.asarray(photo, np.float32))
    return image.permute(2, 0, 1)[None].contiguous().to(_DEVICE)


def _photo(image: torch.Tensor) -> np.ndarray:
    return image[0].permute(1, 2, 0).clip(0, 255).cpu().numpy()
