"""Measures of style transfer that others report: edges by Sobel, and colours.

`sobel_ssim` and `metrics.edge_ssim` both compare edges. Sobel's magnitudes of grey in
[0, 1] are mostly below 0.1, so the constants of SSIM for the range 1 are larger than
their variance within most windows: faint texture and faint noise hardly count, and the
contrast of hard edges decides. `edge_ssim` brings each map to the scale of its own
photo, where faint edges count as much as hard ones and contrast does not. Noise of one
grey level in flat areas leaves 0.97 by Sobel and 0.13 by `edge_ssim`, a contrast of
0.6 leaves 0.85 and 0.99 (tests/applications/stylization/test_color_metrics.py); so
results with blotches in skies have 0.9 by the one and 0.5 by the other. Neither alone
says what is kept.
"""

import numpy as np
import skimage.color
import skimage.filters
import skimage.metrics

from vgg_unpool_jax.errors import require_image

_DIRECTIONS = 64
_SAMPLES = 16384
_QUANTILES = 1024


def sobel_ssim(content: np.ndarray, result: np.ndarray) -> float:
    """SSIM of the Sobel magnitudes of grey.

    Grey is ITU-R BT.709's luma of values in [0, 1], magnitudes are those of
    `skimage.filters.sobel`; SSIM has uniform windows of 7 × 7 and the data range 1.

    Args:
      content: uint8 (h, w, 3) RGB.
      result: uint8, the same size.

    Returns:
      In [-1, 1]; 1 for the content itself.
    """
    for name, image in (("content", content), ("result", result)):
        require_image(name, np.asarray(image), 3)
    if np.shape(content) != np.shape(result):
        raise ValueError(
            f"result must have the shape of content, {np.shape(content)}, got "
            f"{np.shape(result)}"
        )
    maps = [
        skimage.filters.sobel(skimage.color.rgb2gray(np.asarray(image, np.uint8)))
        for image in (content, result)
    ]
    return float(skimage.metrics.structural_similarity(*maps, data_range=1.0))


def lab_distance(
    result: np.ndarray,
    style: np.ndarray,
    regions: tuple[np.ndarray, np.ndarray] | None = None,
) -> float:
    """Sliced Wasserstein distance between the colours of two photos in CIELAB.

    The mean over 64 directions of the mean distance between equal quantiles of the
    colours' coordinates. Of 16,384 pixels at most of each photo; the same at every
    call.

    Args:
      result: uint8 (h, w, 3) RGB.
      style: uint8 (h', w', 3) RGB, of any size.
      regions: labels (h, w) and (h', w'); then the mean over the labels that both have,
        weighted by their area in the result. None compares the whole photos.

    Returns:
      In units of CIELAB, at least 0.
    """
    ours, theirs = (np.asarray(x, np.uint8).reshape(-1, 3) for x in (result, style))
    if regions is None:
        return _sliced(ours, theirs)
    labels = [np.asarray(part).ravel() for part in regions]
    common = np.intersect1d(*labels)
    if not len(common):
        raise ValueError("result and style have no region in common")
    parts = [
        _sliced(ours[labels[0] == label], theirs[labels[1] == label])
        for label in common
    ]
    areas = [np.count_nonzero(labels[0] == label) for label in common]
    return float(np.average(parts, weights=areas))


def _sliced(ours, theirs) -> float:
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((3, _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    quantiles = []
    for pixels in (ours, theirs):
        order = np.random.default_rng(1).permutation(len(pixels))[:_SAMPLES]
        colors = skimage.color.rgb2lab(pixels[order][None])[0]
        quantiles.append(np.quantile(colors @ directions, shares, axis=0))
    return float(np.abs(quantiles[0] - quantiles[1]).mean())


def histogram_correlation(result: np.ndarray, style: np.ndarray) -> float:
    """Correlation of the histograms of 256 bins, mean over R, G and B.

    Each is divided by its sum, as OpenCV's HISTCMP_CORREL.

    Args:
      result: uint8 (h, w, 3) RGB.
      style: uint8 (h', w', 3) RGB.

    Returns:
      In [-1, 1].
    """
    found = []
    for channel in range(3):
        ours, theirs = (
            np.bincount(np.asarray(x, np.uint8)[..., channel].ravel(), minlength=256)
            for x in (result, style)
        )
        found.append(np.corrcoef(ours / ours.sum(), theirs / theirs.sum())[0, 1])
    return float(np.mean(found))
