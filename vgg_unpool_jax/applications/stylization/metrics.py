"""Photorealistic style transfer in numbers: structure kept, style taken.

Structure is SSIM between the edges of content and result. Style is the distance between
the features of the result and those of the style photo in their first two moments, at
five blocks of VGG19, whole or region by region. Nothing is random.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.resizing import as_photo
from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.evaluation.metrics import photo_ssim
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import NUM_BLOCKS, size_multiple
from vgg_unpool_jax.ops.moments import Moments, measure_sets
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.runtime.recompiled import Recompiled

BLOCKS = tuple(range(1, NUM_BLOCKS + 1))
DISTANCES = ("covariance", "gram", "mean")
# The label of the whole photo where there are no regions.
WHOLE = 0
# Fewer cells of a feature grid say nothing about a region (PhotoWCT: "> 10 px").
MIN_CELLS = 11

LUMINANCE = np.array([0.299, 0.587, 0.114])
# Grey levels per pixel. The rounding to 8 bits alone gives flat areas half of it.
_EDGE_FLOOR = 0.5

# {block: {label: moments}}, as `StyleMeter` measures them of a photo.
PhotoMoments = Mapping[int, Mapping[int, Moments]]


def edge_map(image: np.ndarray) -> np.ndarray:
    """The strength of the edge at each pixel, on a scale of its own photo.

    Of the luminance Y = 0.299 R + 0.587 G + 0.114 B the gradient magnitude is m, where
    m² is half the sum of the squared differences to the four neighbours, in grey levels
    per pixel; the border pixels are repeated. With s² = mean(m²) + 0.5², the map is
    m / (m + s).

    Sobel's and Scharr's central differences are blind to pixels that alternate, the
    typical artefact of unpooling; these differences are not. A factor on the contrast
    of a photo cancels as far as m exceeds the floor of half a grey level, which keeps
    the rounding of flat photos from counting as edges; a shift of the brightness
    cancels exactly. The saturation gives faint and hard edges comparable weight, as the
    probabilities of an edge detector do.

    Args:
      image: (h, w, 3) RGB in [0, 255].

    Returns:
      float64 (h, w) in [0, 1).

    Source:
      Our own. Papers on photorealistic style transfer compare responses of the network
      HED (arXiv 1504.06375); these numbers cannot be compared with theirs.
    """
    check_photo_range("image", image)
    require_image("image", np.asarray(image), 3)
    luminance = np.pad(np.asarray(image, np.float64) @ LUMINANCE, 1, mode="edge")
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
    return float(photo_ssim(*(on_device(e, jnp.float32) for e in edges))[0])


def moment_distance(moments: Moments, reference: Moments, kind: str) -> float:
    """Distance of moments of one set of features, relative to the reference.

    "covariance" is ‖Σ - Σ_ref‖ / ‖Σ_ref‖ with the Frobenius norm, "gram" the same of
    the uncentred second moments, "mean" ‖μ - μ_ref‖₂ / ‖μ_ref‖₂. A common factor on
    the features of both cancels.

    Args:
      moments: of content or result.
      reference: of the style, with as many channels.
      kind: one of `DISTANCES`.

    Returns:
      In [0, ∞); 0 for equal moments, infinite if only those of the reference are 0.
    """
    ours, theirs = (_statistic(each, kind) for each in (moments, reference))
    difference, size = np.linalg.norm(ours - theirs), np.linalg.norm(theirs)
    if size == 0:
        return 0.0 if difference == 0 else float("inf")
    return float(difference / size)


def _statistic(moments: Moments, kind: str) -> np.ndarray:
    mean, covariance = (np.asarray(array, np.float64) for array in moments[1:])
    return {
        "mean": mean,
        "covariance": covariance,
        "gram": covariance + np.outer(mean, mean),
    }[kind]


class StyleMeter(Recompiled):
    """Measures the moments of photos at all five blocks, whole photos in one pass."""

    def __init__(self, vgg19: VGG19Weights):
        """Build the encoder.

        Args:
          vgg19: the weights, which must reach block 5.
        """
        self._encoder = VGG19Encoder(NUM_BLOCKS, vgg19.preprocessing)
        self._params = tree_on_device(vgg19.params)

    @functools.cached_property
    def _jitted_encode(self):
        return jax.jit(self._encode)

    def measure(
        self, photo: np.ndarray, labels: np.ndarray | None = None
    ) -> dict[int, dict[int, Moments]]:
        """Moments of a photo, or of each of its regions.

        The photo is padded by reflection to multiples of 16; cells of the feature grid
        that lie in the padding alone do not count. A cell belongs to the region of the
        pixel at its centre. 1000 × 1000 pixels take about 1 GiB.

        Args:
          photo: (h, w, 3) RGB in [0, 255].
          labels: (h, w) integers, the same for the same region of several photos; None
            takes the whole photo as the region `WHOLE`.

        Returns:
          {block: {label: moments}}. Regions of fewer than `MIN_CELLS` cells at a block
          are left out of it; a whole photo never is.
        """
        photo = as_photo(photo)
        least = MIN_CELLS
        if labels is None:
            labels, least = np.full(photo.shape[:2], WHOLE), 0
        if labels.shape != photo.shape[:2] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels must be integers of the photo's shape {photo.shape[:2]}, got "
                f"{labels.dtype} of {labels.shape}"
            )
        encoded = self._jitted_encode(self._params, photo[None])
        found = {}
        for block, features in zip(BLOCKS, encoded, strict=True):
            cells = _labels_of_cells(labels, block).ravel()
            samples = features.reshape(len(cells), -1)
            found[block] = {}
            # One region after another: memory is that of one.
            for label, count in zip(*np.unique(cells, return_counts=True), strict=True):
                if count >= least:
                    moments = measure_sets(samples, (cells == label)[None])
                    found[block][int(label)] = jax.tree.map(
                        lambda array: np.asarray(array[0], np.float64), moments
                    )
        return found

    def _encode(self, params, images):
        _, height, width, _ = images.shape
        padded = pad_to_multiple(images, size_multiple(NUM_BLOCKS))
        _, intermediates = self._encoder.apply({"params": params}, padded)
        return [
            intermediates[f"block{block}_conv2"][
                0, : _cells(height, block), : _cells(width, block)
            ]
            for block in BLOCKS
        ]


def style_distances(
    moments: PhotoMoments, style: PhotoMoments
) -> dict[int, dict[str, float]]:
    """Distances of a photo to a style at each block.

    With regions, the mean over the labels that both photos have at a block, weighted
    by their cells in `moments`.

    Args:
      moments: of content or result, from `StyleMeter.measure`.
      style: of the style, with or without regions as `moments`.

    Returns:
      {block: {kind: distance}} for each of `DISTANCES`.
    """
    found = {}
    for block, regions in moments.items():
        common = [label for label in regions if label in style[block]]
        if not common:
            raise ValueError(
                f"moments and style have no region of at least {MIN_CELLS} cells in "
                f"common at block {block}: {sorted(regions)} and {sorted(style[block])}"
            )
        counts = [regions[label].count for label in common]
        found[block] = {
            kind: float(
                np.average(
                    [
                        moment_distance(regions[i], style[block][i], kind)
                        for i in common
                    ],
                    weights=counts,
                )
            )
            for kind in DISTANCES
        }
    return found


def style_reductions(
    content: Mapping[int, Mapping[str, float]],
    result: Mapping[int, Mapping[str, float]],
) -> dict[int, dict[str, float]]:
    """Style taken: 1 - d(result, style) / d(content, style).

    Args:
      content: distances of the content to the style, from `style_distances`.
      result: those of the result.

    Returns:
      {block: {kind: reduction}} in (-∞, 1]: 0 for the content itself, 1 for the
      moments of the style, negative for a result that is farther from the style than
      the content. NaN where the content is at distance 0 or infinity.
    """
    return {
        block: {
            kind: 1.0 - result[block][kind] / distance
            if 0 < distance < float("inf")
            else float("nan")
            for kind, distance in distances.items()
        }
        for block, distances in content.items()
    }


def _cells(side: int, block: int) -> int:
    """Number of cells of a feature grid that overlap a side of a photo."""
    return -(-side // size_multiple(block))


def _labels_of_cells(labels: np.ndarray, block: int) -> np.ndarray:
    """The label of each cell of a feature grid: that of the pixel at its centre."""
    stride = size_multiple(block)
    for axis, side in enumerate(labels.shape):
        centres = np.arange(_cells(side, block)) * stride + stride // 2
        labels = labels.take(np.minimum(centres, side - 1), axis=axis)
    return labels
