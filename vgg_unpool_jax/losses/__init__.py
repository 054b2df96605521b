"""Losses: pure functions of arrays."""

from vgg_unpool_jax.losses.checks import require_matching
from vgg_unpool_jax.losses.dists import dists
from vgg_unpool_jax.losses.latent import (
    gaussian_log_likelihood,
    half_squared_error,
    kl_to_standard_normal,
    with_free_bits,
)
from vgg_unpool_jax.losses.lpips import lpips, lpips_maps
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
    "dists",
    "gaussian_log_likelihood",
    "half_squared_error",
    "kl_to_standard_normal",
    "l1",
    "l2",
    "local_mean",
    "lpips",
    "lpips_maps",
    "ms_ssim",
    "ms_ssim_loss",
    "perceptual",
    "require_matching",
    "with_free_bits",
]
