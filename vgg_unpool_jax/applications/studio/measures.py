"""Measures of a picture, on the host: no compilation for a new size."""

from typing import NamedTuple

import numpy as np
from skimage.metrics import structural_similarity

from vgg_unpool_jax.losses import WINDOW_SIZE

_SMALLEST = 1e-3  # mean squared error, as in the tables of codecs


class Measures(NamedTuple):
    """How near a picture is to the photo.

    Attributes:
      l1: mean absolute difference in grey levels.
      psnr: in dB, of RGB.
      ssim: as `evaluation.metrics.photo_ssim`; NaN for photos that are too small.
    """

    l1: float
    psnr: float
    ssim: float

    def __str__(self):
        """All on one line."""
        ssim = "" if np.isnan(self.ssim) else f", SSIM {self.ssim:.4f}"
        return f"L1 {self.l1:.2f}, PSNR {self.psnr:.2f} dB{ssim}"


def measure(picture: np.ndarray, photo: np.ndarray) -> Measures:
    """Compare two pictures (h, w, 3) in [0, 255]."""
    picture, photo = (np.asarray(image, np.float32) for image in (picture, photo))
    difference = picture - photo
    error = float(np.mean(np.square(difference), dtype=np.float64))
    psnr = 10 * np.log10(255**2 / max(error, _SMALLEST))
    ssim = float("nan")
    if min(photo.shape[:2]) >= WINDOW_SIZE:
        ssim = structural_similarity(
            picture,
            photo,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
    return Measures(float(np.abs(difference).mean()), float(psnr), float(ssim))
