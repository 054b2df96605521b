"""Spectra of waves, and distances of rows against SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial

from vgg_unpool_jax.evaluation import distances as distances_module
from vgg_unpool_jax.evaluation.distances import distances, normalised_error, sketch
from vgg_unpool_jax.evaluation.spectrum import BINS, radial_spectra, spectrum_errors


def test_a_wave_has_its_power_at_its_frequency():
    columns = np.arange(64)
    wave = 10 * np.sin(2 * np.pi * columns * 13 / 64)
    images = np.tile(wave[None, None, :, None], (1, 64, 1, 3))
    power = np.asarray(radial_spectra(images + 100, images)[0])[0]
    ring = int(13 / 64 * 2 * BINS)
    assert power.argmax() == ring
    # The mean power of all frequencies is the wave's variance.
    rows = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64)] * 2)) * 2 * BINS
    counts = np.bincount(rows.astype(int).ravel(), minlength=BINS)[:BINS]
    np.testing.assert_allclose(power @ counts / 64**2, 50, rtol=0.05)


def test_blur_and_noise_show_at_high_frequencies():
    rng = np.random.default_rng(0)
    photos = scipy.ndimage.gaussian_filter(
        rng.normal(0, 60, (6, 64, 64, 3)), (0, 1, 1, 0)
    )
    for changed, sign in (
        (scipy.ndimage.gaussian_filter(photos, (0, 1, 1, 0)), -1),
        (photos + rng.normal(0, 8, photos.shape), 1),
        (photos, 0),
    ):
        errors = spectrum_errors(*radial_spectra(changed, photos))
        assert np.sign(np.round(errors["high_frequency_error"], 4)) == sign
        assert (errors["spectrum_error"] > 0.5) == bool(sign)


@pytest.mark.parametrize("size", [50, 40_000])
def test_normalised_errors_equal_scipys(size, monkeypatch):
    monkeypatch.setattr(distances_module, "_BLOCK", 5)  # of the twelve photos
    rng = np.random.default_rng(0)
    photos = rng.normal(0, 1, (12, size)) + rng.normal(0, 1, (1, size))
    photos *= np.linspace(0.2, 2, 12)[:, None]
    found = photos + rng.normal(0, 0.3, photos.shape)
    wanted = np.linalg.norm(found - photos, axis=1).mean()
    wanted /= scipy.spatial.distance.pdist(photos).mean()
    rows = sketch(jnp.asarray(photos, jnp.float32))
    assert rows.shape == (12, min(size, 4096))
    error = normalised_error(distances(found, photos), np.asarray(rows))
    np.testing.assert_allclose(error, wanted, rtol=1e-5 if size == 50 else 0.02)
    assert normalised_error(np.zeros(1), np.zeros((1, 3))) is None
