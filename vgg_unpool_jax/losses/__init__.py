"""Losses: pure functions of arrays, each a float32 scalar mean over the batch."""

from vgg_unpool_jax.losses.checks import require_matching
from vgg_unpool_jax.losses.ms_ssim import (
    MIN_SIDE,
    WINDOW_SIZE,
    local_mean,
    ms_ssim,
    ms_ssim_loss,
)
from vgg_unpool_jax.losses.perceptual import perceptual
from vgg_unpool_jax.losses.pixel import l1, l2

__all__ = [
    "MIN_SIDE",
    "WINDOW_SIZE",
    "l1",
    "l2",
    "local_mean",
    "ms_ssim",
    "ms_ssim_loss",
    "perceptual",
    "require_matching",
]
