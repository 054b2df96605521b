"""Power spectra of photos: blur lacks high frequencies, artefacts have too many."""

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.losses.checks import require_matching

# From 0 to half a cycle per pixel.
BINS = 16


def radial_spectra(
    outputs: jax.Array, targets: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Power of the grey values of photos, by frequency.

    Args:
      outputs: (n, h, w, 3), sides of at least 32 pixels.
      targets: the same shape.

    Returns:
      (n, BINS) float32 each, in squared grey levels: mean power of the photo under a
      Hann window, of frequencies in equal rings from 0 to 0.5 cycles per pixel.
    """
    outputs, targets = require_matching(outputs, targets)
    return _spectrum(outputs), _spectrum(targets)


def _spectrum(images: jax.Array) -> jax.Array:
    height, width = images.shape[1:3]
    window = np.outer(np.hanning(height + 1)[:-1], np.hanning(width + 1)[:-1])
    window = (window / np.sqrt(np.mean(window**2))).astype(np.float32)
    grey = jnp.mean(images, axis=-1)
    grey -= jnp.mean(grey, axis=(1, 2), keepdims=True)
    power = jnp.square(jnp.abs(jnp.fft.fft2(grey * window[None])))
    power /= jnp.float32(height * width)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    ring = (np.hypot(rows, columns) * 2 * BINS).astype(int).reshape(-1)
    # Corners, beyond half a cycle, belong to no ring.
    counts = np.bincount(ring, minlength=BINS)[:BINS]
    member = (ring[:, None] == np.arange(BINS)[None]) / np.maximum(counts, 1)
    return power.reshape(len(images), -1) @ jnp.asarray(member, jnp.float32)


def spectrum_errors(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """How far the mean spectrum of outputs is from that of photos, in dB.

    Args:
      outputs: (n, BINS), of `radial_spectra`.
      targets: the same of the photos.

    Returns:
      "spectrum_error": mean absolute ratio over all frequencies;
      "high_frequency_error": mean ratio over the upper quarter of the frequencies,
      negative for blur, positive for artefacts.
    """
    decibel = ratios(outputs, targets)
    return {
        "spectrum_error": float(np.mean(np.abs(decibel))),
        "high_frequency_error": float(np.mean(decibel[-BINS // 4 :])),
    }


def ratios(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Power of outputs over that of targets in dB, (BINS,)."""
    tiny = 1e-12
    arrays = (np.asarray(x, np.float64) for x in (outputs, targets))
    powers = (array.mean(axis=0) + tiny for array in arrays)
    return 10.0 * np.log10(np.divide(*powers))
