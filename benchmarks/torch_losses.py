"""The losses as torch users write them. Imported only where torch is asked for."""

import torch
import torch.nn.functional as F

from vgg_unpool_jax.losses.ms_ssim import SCALE_WEIGHTS, WINDOW_SIZE

_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


def l1(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of (n, c, h, w) images."""
    return F.l1_loss(predictions, targets)


def l2(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of (n, c, h, w) images."""
    return F.mse_loss(predictions, targets)


def _windows(channels: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    offsets = torch.arange(WINDOW_SIZE, device=like.device, dtype=like.dtype)
    weights = torch.exp(-0.5 * ((offsets - (WINDOW_SIZE - 1) / 2) / _SIGMA) ** 2)
    weights = (weights / weights.sum()).repeat(channels, 1, 1, 1)
    return weights.transpose(2, 3), weights


def _local_mean(maps: torch.Tensor, windows) -> torch.Tensor:
    channels = maps.shape[1]
    for window in windows:  # separable: a column, then a row
        maps = F.conv2d(maps, window, groups=channels)
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
            # An odd side is extended by its last row, as TensorFlow and ours do it.
            odd = (0, predictions.shape[3] % 2, 0, predictions.shape[2] % 2)
            predictions, targets = (
                F.avg_pool2d(F.pad(x, odd, "replicate") if any(odd) else x, 2)
                for x in (predictions, targets)
            )
        contrast, ssim = _contrast_and_ssim(predictions, targets, windows)
        term = ssim if scale == len(SCALE_WEIGHTS) - 1 else contrast
        factors.append(torch.relu(term) ** weight)
    return 1 - torch.stack(factors).prod(0).mean()


LOSSES = {"l1": l1, "l2": l2, "ms_ssim": ms_ssim_loss}
