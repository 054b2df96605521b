"""Photorealistic style transfer in numbers: structure kept, style taken, flicker.

Structure is SSIM between the edges of content and result. Style is how near the
features of the result are to those of the style photo, in their first two moments;
`style_meter` takes those of photos and their regions. Nothing is random.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.evaluation.metrics import photo_ssim

DISTANCES = ("covariance", "gram", "mean")

_LUMINANCE = np.array([0.299, 0.587, 0.114])
# Grey levels a pixel. The rounding to 8 bits alone gives flat areas half of it.
_EDGE_FLOOR = 0.5


def edge_map(image: np.ndarray) -> np.ndarray:
    """How much of an edge each pixel is, on a scale of its own photo.

    Of the luminance Y = 0.299 R + 0.587 G + 0.114 B the gradient magnitude is m, where
    m² is half the sum of the squared differences to the four neighbours, in grey levels
    a pixel; the border pixels are repeated. With s² = mean(m²) + 0.5², the map is
    m / (m + s).

    Sobel's and Scharr's central differences are blind to pixels that alternate, which
    is how unpooling goes wrong; these differences are not. A factor on the contrast of
    a photo cancels as far as m exceeds the floor of half a grey level, which keeps the
    rounding of flat photos from counting as edges; a shift of the brightness cancels
    exactly. The saturation gives faint and hard edges comparable weight, as the
    probabilities of an edge detector do.

    Args:
      image: (h, w, 3) RGB in [0, 255].

    Returns:
      float64 (h, w) in [0, 1).

    Source:
      Our own. Papers on photorealistic style transfer compare responses of the network
      HED (arXiv 1504.06375); this needs none, and is no replacement for their numbers.
    """
    luminance = np.pad(require_photo(image, "image") @ _LUMINANCE, 1, mode="edge")
    down = np.square(np.diff(luminance, axis=0))[:, 1:-1]
    right = np.square(np.diff(luminance, axis=1))[1:-1]
    squares = (down[1:] + down[:-1] + right[:, 1:] + right[:, :-1]) / 2
    magnitude = np.sqrt(squares)
    return magnitude / (magnitude + np.sqrt(np.mean(squares) + _EDGE_FLOOR**2))


def edge_ssim(content: np.ndarray, result: np.ndarray) -> float:
    """Structure kept: SSIM between the edge maps of content and result.

    SSIM is that of `photo_ssim` (Gaussian window of 11 × 11, deviation 1.5, K 0.01 and
    0.03) with the data range 1 over pixels whose window lies inside.

    Args:
      content: (h, w, 3) RGB in [0, 255].
      result: the same size and range.

    Returns:
      In [-1, 1]; 1 for the content itself.
    """
    if np.shape(content) != np.shape(result):
        raise ValueError(
            f"result must have the shape of content, {np.shape(content)}, got "
            f"{np.shape(result)}"
        )
    edges = [255.0 * edge_map(image)[None, ..., None] for image in (content, result)]
    return float(photo_ssim(*(jnp.asarray(e, jnp.float32) for e in edges))[0])


@dataclasses.dataclass(frozen=True)
class Moments:
    """First and second moments of features.

    Attributes:
      cells: number of cells of the feature grid that they are taken over.
      mean: float64 (c,).
      covariance: float64 (c, c), divided by the number of cells.
    """

    cells: int
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def gram(self) -> np.ndarray:
        """Mean of f fᵀ over the cells: covariance + mean meanᵀ."""
        return self.covariance + np.outer(self.mean, self.mean)


def feature_moments(features: np.ndarray) -> Moments:
    """Moments of features in float64.

    Args:
      features: (..., c); all leading axes are cells.
    """
    features = np.asarray(features, np.float64)
    if features.ndim < 2 or not features.size:
        raise ValueError(
            f"features must have shape (..., channels), not empty, got {features.shape}"
        )
    cells = features.reshape(-1, features.shape[-1])
    mean = cells.mean(axis=0)
    centred = cells - mean
    return Moments(len(cells), mean, centred.T @ centred / len(cells))


def moment_distance(moments: Moments, reference: Moments, kind: str) -> float:
    """Distance of moments, relative to those of the reference.

    "covariance" is ‖Σ - Σ_ref‖ / ‖Σ_ref‖ with the Frobenius norm, "gram" the same of
    the uncentred second moments, "mean" ‖μ - μ_ref‖₂ / ‖μ_ref‖₂. A common factor on
    the features of both cancels, and with it the scale of a level.

    Args:
      moments: of content or result.
      reference: of the style, with as many channels.
      kind: one of `DISTANCES`.

    Returns:
      In [0, ∞); 0 for equal moments, infinite if only those of the reference are 0.
    """
    if kind not in DISTANCES:
        raise ValueError(f"kind must be one of {', '.join(DISTANCES)}, got {kind!r}")
    ours, theirs = getattr(moments, kind), getattr(reference, kind)
    if ours.shape != theirs.shape:
        raise ValueError(
            f"features must have as many channels as the reference, "
            f"{reference.mean.size}, got {moments.mean.size}"
        )
    difference, size = np.linalg.norm(ours - theirs), np.linalg.norm(theirs)
    if size == 0:
        return 0.0 if difference == 0 else float("inf")
    return float(difference / size)


def covariance_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """‖Σ_a - Σ_b‖ / ‖Σ_b‖ of the channel covariances; see `moment_distance`.

    Args:
      features_a: (..., c) of content or result.
      features_b: (..., c) of the style; other leading axes are welcome.
    """
    return _feature_distance(features_a, features_b, "covariance")


def gram_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """‖G_a - G_b‖ / ‖G_b‖ of the Gram matrices a cell; see `moment_distance`.

    Args:
      features_a: (..., c) of content or result.
      features_b: (..., c) of the style; other leading axes are welcome.

    Source:
      Gatys, Ecker and Bethge 2015, arXiv 1508.06576, for the Gram matrix.
    """
    return _feature_distance(features_a, features_b, "gram")


def mean_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """‖μ_a - μ_b‖ / ‖μ_b‖ of the channel means, which the covariance leaves out.

    Args:
      features_a: (..., c) of content or result.
      features_b: (..., c) of the style; other leading axes are welcome.
    """
    return _feature_distance(features_a, features_b, "mean")


def _feature_distance(features_a, features_b, kind):
    moments = feature_moments(features_a), feature_moments(features_b)
    return moment_distance(*moments, kind)


def temporal_flicker(inputs: np.ndarray, results: np.ndarray) -> float:
    """How much the frames of a result change beyond those of the input.

    The mean over pixels, channels and successive frames of max(0, |Δresult| -
    |Δinput|). No motion is estimated. An area that changes less than the input cannot
    make up for one that flickers.

    Args:
      inputs: (t, h, w, 3) RGB in [0, 255], at least two frames.
      results: the same shape and range.

    Returns:
      Grey levels in [0, 255]; 0 for the input itself or a still.
    """
    inputs, results = np.asarray(inputs), np.asarray(results)
    if inputs.ndim != 4 or inputs.shape[3] != 3 or len(inputs) < 2 or not inputs.size:
        raise ValueError(
            f"inputs must have shape (at least 2, height, width, 3), got {inputs.shape}"
        )
    if inputs.shape != results.shape:
        raise ValueError(
            f"results must have the shape of inputs, {inputs.shape}, got "
            f"{results.shape}"
        )
    excess = [
        np.mean(np.maximum(_change(results, t) - _change(inputs, t), 0.0))
        for t in range(len(inputs) - 1)
    ]
    return float(np.mean(excess))


def _change(frames, t):
    return np.abs(frames[t + 1].astype(np.float64) - frames[t].astype(np.float64))


def require_photo(image: np.ndarray, name: str) -> np.ndarray:
    """The photo as float64 (h, w, 3).

    Args:
      image: RGB in [0, 255].
      name: of the argument, for the error.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"{name} must have shape (height, width, 3), got {image.shape}"
        )
    image = image.astype(np.float64)
    if not np.isfinite(image).all():
        raise ValueError(f"{name} has NaN or infinite values, wanted [0, 255]")
    return image
