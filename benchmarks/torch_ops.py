"""Pooling, losses, convolutions and matrix products of torch."""

import functools
from collections.abc import Callable

import jax
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.harness import Candidate
from benchmarks.pooling_work import (
    RELU_POOL,
    RELU_POOL_GRADIENT,
    minimum_bytes,
    named_arrays,
)
from vgg_unpool_jax.losses.ms_ssim import SCALE_WEIGHTS, WINDOW_SIZE
from vgg_unpool_jax.ops.switches import torch_to_codes

_INDEX_BYTES = 8  # int64
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


def device() -> torch.device:
    """The device on which torch does what jax does on its own."""
    return torch.device("cpu" if jax.default_backend() == "cpu" else "cuda")


def wait(_) -> None:
    """Return when torch has computed everything."""
    if device().type == "cuda":
        torch.cuda.synchronize()


def layouts() -> dict[str, tuple]:
    """(memory format, whether compiled) by the name of the candidate."""
    formats = {
        "torch": torch.contiguous_format,
        "torch, channels last": torch.channels_last,
    }
    found = {name: (chosen, False) for name, chosen in formats.items()}
    if device().type == "cuda":
        found |= {
            f"{name}, compiled": (chosen, True) for name, chosen in formats.items()
        }
    return found


def _tensor(array: np.ndarray, memory_format, order=(0, 3, 1, 2), dtype=torch.float32):
    """NHWC to NCHW; the memory format says how elements are stored."""
    moved = torch.from_numpy(array).permute(order).to(device(), dtype)
    return moved.contiguous(memory_format=memory_format)


def _array(tensor: torch.Tensor, order=(0, 2, 3, 1)) -> np.ndarray:
    return tensor.detach().float().cpu().permute(order).numpy()


def _prepare(function: Callable, compiled: bool) -> Callable:
    return torch.compile(function, dynamic=False) if compiled else function


def matmul(side: int, dtype: str) -> Candidate:
    """A product of two square matrices; it takes 2 · side³ FLOPs."""
    left, right = (
        torch.randn(side, side, device=device()).to(getattr(torch, dtype))
        for _ in range(2)
    )
    return Candidate(lambda: left @ right, wait, peer="torch")


def pooling(operation: str, arrays, memory_format, compiled: bool) -> Candidate:
    """One of `pooling_work.OPERATIONS`."""
    dtype = getattr(torch, arrays.dtype)
    tensor = functools.partial(_tensor, memory_format=memory_format, dtype=dtype)
    prepare = functools.partial(_prepare, compiled=compiled)
    image, values = tensor(arrays.image), tensor(arrays.values)
    pool = functools.partial(F.max_pool2d, kernel_size=2, return_indices=True)
    _, indices = pool(image)
    if operation == "pool":
        run = functools.partial(prepare(lambda x: pool(x)), image)
    elif operation == RELU_POOL:
        run = functools.partial(prepare(lambda x: pool(F.relu(x))), image)
    elif operation == "unpool":
        function = prepare(lambda v, i: (F.max_unpool2d(v, i, 2),))
        run = functools.partial(function, values, indices)
    elif operation == "pool, unpool":

        def both(x):
            pooled, chosen = pool(x)
            return pooled, chosen, F.max_unpool2d(pooled, chosen, 2)

        run = functools.partial(prepare(both), image)
    else:
        source, gradient = image.requires_grad_(), values
        if operation == "pool gradient":
            output = pool(source)[0]
        elif operation == RELU_POOL_GRADIENT:
            output = pool(F.relu(source))[0]
        else:
            source, gradient = values.requires_grad_(), tensor(arrays.image_gradient)
            output = F.max_unpool2d(source, indices, 2)

        def run():
            return torch.autograd.grad(output, source, gradient, retain_graph=True)

    def result():
        first, *rest = run()
        found = [_array(first)]
        if rest:
            found.append(torch_to_codes(rest[0].cpu().numpy(), arrays.image.shape))
        return named_arrays(operation, *found, *map(_array, rest[1:]))

    amount = minimum_bytes(operation, image.numel(), image.element_size(), _INDEX_BYTES)
    facts = {"switch_bytes": _INDEX_BYTES}
    return Candidate(run, wait, result, "torch", amount, facts)


def convolution(
    direction: int | None, images, kernel, cotangent, memory_format
) -> Candidate:
    """A 3×3 convolution of NHWC images with an HWIO kernel.

    Args:
      direction: None is forward, 0 the gradient of the images, 1 that of the kernel.
      images: (n, h, w, c).
      kernel: (3, 3, c, d).
      cotangent: (n, h, w, d).
      memory_format: of all three.
    """
    x, dy = _tensor(images, memory_format), _tensor(cotangent, memory_format)
    w = _tensor(kernel, memory_format, (3, 2, 0, 1))
    mask = (direction == 0, direction == 1, False)

    def run():
        with torch.no_grad():
            if direction is None:
                return F.conv2d(x, w, padding=1)
            return torch.ops.aten.convolution_backward(
                dy, x, w, None, (1, 1), (1, 1), (1, 1), False, (0, 0), 1, mask
            )[direction]

    order = (2, 3, 1, 0) if direction == 1 else (0, 2, 3, 1)
    return Candidate(run, wait, lambda: {"result": _array(run(), order)}, "torch")


def loss(
    name: str, with_gradient: bool, predictions, targets, memory_format, compiled
) -> Candidate:
    """A loss of NHWC images, with the gradient of the predictions or without."""
    x, y = _tensor(predictions, memory_format), _tensor(targets, memory_format)
    function = _prepare(LOSSES[name], compiled)

    def run():
        if not with_gradient:
            with torch.no_grad():
                return (function(x, y),)
        leaf = x.detach().requires_grad_()
        value = function(leaf, y)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    def result():
        value, *gradient = run()
        found = value.cpu(), *map(_array, gradient)
        return dict(zip(("value", "gradient"), found, strict=False))

    return Candidate(run, wait, result, "torch")


def _windows(channels: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    offsets = torch.arange(WINDOW_SIZE, device=like.device, dtype=like.dtype)
    weights = torch.exp(-0.5 * ((offsets - (WINDOW_SIZE - 1) / 2) / _SIGMA) ** 2)
    weights = (weights / weights.sum()).repeat(channels, 1, 1, 1)
    return weights.transpose(2, 3), weights


def _local_mean(maps: torch.Tensor, windows) -> torch.Tensor:
    for window in windows:  # separable: a column, then a row
        maps = F.conv2d(maps, window, groups=maps.shape[1])
    return maps


def _contrast_and_ssim(x, y, windows) -> tuple[torch.Tensor, torch.Tensor]:
    mean_x, mean_y = _local_mean(x, windows), _local_mean(y, windows)
    variance_x = _local_mean(x * x, windows) - mean_x**2
    variance_y = _local_mean(y * y, windows) - mean_y**2
    covariance = _local_mean(x * y, windows) - mean_x * mean_y
    contrast = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return contrast.mean((2, 3)), (luminance * contrast).mean((2, 3))


def ms_ssim_loss(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One minus the mean MS-SSIM of (n, c, h, w) images in [0, 255].

    The textbook form with grouped convolutions, as in the packages that torch users
    install; terms at or below 0 are clipped.
    """
    windows = _windows(predictions.shape[1], predictions)
    factors = []
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            # An odd side is extended by its last row, as in TensorFlow and here.
            odd = (0, predictions.shape[3] % 2, 0, predictions.shape[2] % 2)
            predictions, targets = (
                F.avg_pool2d(F.pad(x, odd, "replicate") if any(odd) else x, 2)
                for x in (predictions, targets)
            )
        contrast, ssim = _contrast_and_ssim(predictions, targets, windows)
        term = ssim if scale == len(SCALE_WEIGHTS) - 1 else contrast
        factors.append(torch.relu(term) ** weight)
    return 1 - torch.stack(factors).prod(0).mean()


LOSSES = {"l1": F.l1_loss, "l2": F.mse_loss, "ms_ssim": ms_ssim_loss}
