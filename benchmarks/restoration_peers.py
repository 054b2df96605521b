"""Restorers of other programs in torch, from the weights that they published.

DnCNN (colour, noise of 25) and FFDNet (colour) as MatConvNet files of MATLAB 7.3:
kernels of (height, width, inputs, outputs), which HDF5 shows in the opposite order.

Source: cszn/DnCNN, cszn/FFDNet.
"""

import os
from collections.abc import Callable

import h5py
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import torch_ops

# Photo (h, w, 3) in [0, 255], standard deviation of its noise -> restored photo.
Peer = Callable[[np.ndarray, float], np.ndarray]


def load_dncnn(path: str | os.PathLike) -> Peer:
    """DnCNN; it was trained for noise of 25 and ignores the noise that it is told."""
    layers = _read_convolutions(path)

    @torch.no_grad()
    def restore(photo: np.ndarray, noise: float) -> np.ndarray:
        del noise
        image = _image(photo)
        return _photo(image - _apply(layers, image))

    return restore


def load_ffdnet(path: str | os.PathLike) -> Peer:
    """FFDNet; it is told the noise, and sees the photo in squares of 2×2 pixels."""
    layers = _read_convolutions(path)

    @torch.no_grad()
    def restore(photo: np.ndarray, noise: float) -> np.ndarray:
        # On its side, as MatConvNet counts the pixels of a square by columns.
        image = _image(photo).transpose(2, 3)
        width, height = image.shape[2:]
        image = F.pad(image, (0, height % 2, 0, width % 2), mode="replicate")
        squares = F.pixel_unshuffle(image, 2)
        level = torch.full_like(squares[:, :1], noise / 255)
        turned = [(kernel.transpose(2, 3), bias) for kernel, bias in layers]
        outputs = _apply(turned, torch.cat([squares, level], 1))
        image = F.pixel_shuffle(outputs, 2)[:, :, :width, :height]
        return _photo(image.transpose(2, 3))

    return restore


PEERS = {"dncnn": load_dncnn, "ffdnet": load_ffdnet}


def _image(photo: np.ndarray) -> torch.Tensor:
    image = torch.from_numpy(np.asarray(photo, np.float32) / np.float32(255))
    return image.permute(2, 0, 1)[None].contiguous().to(torch_ops.device())


def _photo(image: torch.Tensor) -> np.ndarray:
    return image[0].permute(1, 2, 0).mul(255).clamp(0, 255).cpu().numpy()


def _apply(layers, x):
    for kernel, bias in layers[:-1]:
        x = F.relu(F.conv2d(x, kernel, bias, padding=1))
    kernel, bias = layers[-1]
    return F.conv2d(x, kernel, bias, padding=1)


def _read_convolutions(path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Kernels (o, i, 3, 3) and biases (o,) in their order."""
    found = []
    with h5py.File(path) as file:
        for reference in np.array(file["net/layers"]).ravel():
            layer = file[reference]
            if bytes(np.array(layer["type"], np.uint8).ravel()) != b"conv":
                continue
            kernel, bias = (
                np.array(file[part], np.float32)
                for part in np.array(layer["weights"]).ravel()
            )
            kernel = torch.from_numpy(kernel.transpose(0, 1, 3, 2).copy())
            layer = kernel, torch.from_numpy(bias.ravel())
            found.append(tuple(array.to(torch_ops.device()) for array in layer))
    return found
