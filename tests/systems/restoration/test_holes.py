"""PSNR inside and outside of holes, of errors that are known."""

import numpy as np

from vgg_unpool_jax.systems.restoration.holes import split_psnr


def test_psnr_is_split_by_the_holes():
    photos = np.full((2, 8, 8, 3), 100, np.uint8)
    holes = np.zeros((2, 8, 8), bool)
    holes[:, :4, :4] = True
    restored = photos.copy()
    restored[holes] += 51
    restored[~holes] += 1
    found = split_psnr(restored, photos, holes)
    np.testing.assert_allclose(found["inside"], 20 * np.log10(5))
    np.testing.assert_allclose(found["outside"], 20 * np.log10(255))
    mean = (16 * 51**2 + 48) / 64
    np.testing.assert_allclose(found["all"], 10 * np.log10(255**2 / mean))
    assert set(split_psnr(restored, photos, np.zeros_like(holes))) == {"all"}
