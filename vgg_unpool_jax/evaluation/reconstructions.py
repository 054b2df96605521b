"""Reconstructions of photos in numbers: metrics, spectrum, image and feature space."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.evaluation import spectrum
from vgg_unpool_jax.evaluation.comparison import compare
from vgg_unpool_jax.evaluation.distances import (
    cosines,
    distances,
    normalised_error,
    sketch,
)
from vgg_unpool_jax.evaluation.perceptual import PerceptualMetric
from vgg_unpool_jax.evaluation.statistics import summarize
from vgg_unpool_jax.ops.placing import on_device


def measure(
    outputs: np.ndarray,
    photos: np.ndarray,
    features: Callable[[jax.Array], jax.Array],
    perceptual: Sequence[PerceptualMetric] = (),
) -> dict[str, Any]:
    """All numbers of reconstructions.

    Args:
      outputs: (n, h, w, 3) RGB in [0, 255], sides of at least 32 pixels.
      photos: the same shape.
      features: function of float32 images (n, h, w, 3) to (n, ...).
      perceptual: metrics that need weights.

    Returns:
      Summaries of the metrics of `comparison.compare`; numbers of `spectrum_errors`,
      "spectrum_ratio_db" (BINS,), "image_error" and "feature_error" of
      `normalised_error`, and "feature_cosine", the mean cosine of features.
    """
    scores = [compare(*pair, perceptual) for pair in zip(outputs, photos, strict=True)]
    found = {name: summarize([s[name] for s in scores]) for name in scores[0]}
    a, b = (on_device(images, jnp.float32) for images in (outputs, photos))
    spectra = [np.asarray(rows) for rows in spectrum.radial_spectra(a, b)]
    found |= spectrum.spectrum_errors(*spectra)
    found["spectrum_ratio_db"] = spectrum.ratios(*spectra)
    for space, arrays in (("image", (a, b)), ("feature", (features(a), features(b)))):
        far, rows = distances(*arrays), sketch(arrays[1])
        found[f"{space}_error"] = normalised_error(np.asarray(far), np.asarray(rows))
    found["feature_cosine"] = float(np.mean(cosines(*arrays)))
    return found
