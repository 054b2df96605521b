"""A calm map of colours that brings one set of colours close to another.

In CIELAB first the affine map of optimal transport between the two means and
covariances, its gains limited; then a few rounds in which the coordinates along three
orthogonal axes are matched by their quantiles, each with limited slopes. The axes turn
from round to round, so all of the distribution is approached, not only its margins.

Without the limits the second set's colours are reached exactly, and a flat sky whose
colours differ by noise alone is torn into dark and bright patches.

Source: Pitié, Kokaram and Dahyot, "Automated colour grading using colour distribution
transfer", 2007, for the rounds; the limits are ours.
"""

import dataclasses
import functools

import jax
import numpy as np

from vgg_unpool_jax.applications.stylization.looks import SLOPE
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.ops.lab import lab_to_rgb, rgb_to_lab

# Colours that are drawn of a region.
SAMPLES = 4096
_ROUNDS = 6
_LEVELS = 33
# Limits of the affine map's gains.
_GAINS = 0.5, 2.0
# Variance of a channel of Lab that is noise.
_NOISE = 0.5

_CHUNK = 65536  # pixels that are converted at once: few sizes are compiled

_to_lab = jax.jit(rgb_to_lab)
_to_rgb = jax.jit(lab_to_rgb)


def _in_chunks(convert, colors: np.ndarray) -> np.ndarray:
    """(m, 3) converted, padded to whole chunks."""
    padded = np.pad(colors, ((0, -len(colors) % _CHUNK), (0, 0)))
    parts = padded.reshape(-1, _CHUNK, 3)
    return np.concatenate([convert(part) for part in parts])[: len(colors)]


def sample_colors(photo, regions: Regions | None = None) -> np.ndarray:
    """Colours of each region of a photo, drawn evenly; nothing depends on chance.

    Args:
      photo: (h, w, 3) RGB.
      regions: of its size; None is one region.

    Returns:
      (regions, SAMPLES, 3) float32; zeros for a region without pixels.
    """
    pixels = np.asarray(photo, np.float32).reshape(-1, 3)
    order = np.random.default_rng(0).permutation(len(pixels))
    pixels = pixels[order]
    if regions is None:
        return pixels[(np.arange(SAMPLES) * len(pixels)) // SAMPLES][None]
    found = np.zeros((len(regions.names), SAMPLES, 3), np.float32)
    for index in range(len(regions.names)):
        if regions.labels is not None:
            weights = regions.labels.ravel()[order] == index
        else:
            weights = regions.coverage[..., index].ravel()[order]
        sums = np.cumsum(weights, dtype=np.float64)
        if sums[-1] > 0:
            places = (np.arange(SAMPLES) + 0.5) / SAMPLES * sums[-1]
            found[index] = pixels[np.searchsorted(sums, places)]
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class ColorTransport:
    """A map of colours; make one with `fit_transport`.

    Attributes:
      matrix: (3, 3), of the affine map of Lab, x @ matrix + offset.
      offset: (3,).
      axes: (rounds, 3, 3), orthogonal.
      knots: (rounds, 3, levels), increasing.
      values: (rounds, 3, levels), of the piecewise linear maps at the knots.
    """

    matrix: np.ndarray
    offset: np.ndarray
    axes: np.ndarray
    knots: np.ndarray
    values: np.ndarray

    def __call__(self, colors) -> np.ndarray:
        """Map RGB (..., 3) in [0, 255]; float32, not clipped."""
        colors = np.asarray(colors, np.float32)
        lab = _in_chunks(_to_lab, colors.reshape(-1, 3)) @ self.matrix + self.offset
        for axes, knots, values in zip(self.axes, self.knots, self.values, strict=True):
            lab = _bend(lab @ axes, knots, values) @ axes.T
        rgb = _in_chunks(_to_rgb, lab.astype(np.float32))
        return rgb.reshape(colors.shape)


def fit_transport(colors, style_colors, *, slope: float = SLOPE) -> ColorTransport:
    """Fit the map.

    Args:
      colors: (m, 3) RGB in [0, 255].
      style_colors: (m', 3) RGB in [0, 255], whose distribution is approached.
      slope: limit of the slopes of each round, from 1 on; 1 leaves the affine map.
    """
    if not slope >= 1:
        raise ValueError(f"slope must be at least 1, got {slope}")
    ours, theirs = (
        np.asarray(_to_lab(np.asarray(x, np.float32)), np.float64)
        for x in (colors, style_colors)
    )
    means = ours.mean(axis=0), theirs.mean(axis=0)
    matrix = normal_transport(
        *(np.cov(x.T) + _NOISE * np.eye(3) for x in (ours, theirs))
    )
    values, vectors = np.linalg.eigh(matrix)
    matrix = (vectors * np.clip(values, *_GAINS)) @ vectors.T
    offset = means[1] - means[0] @ matrix
    ours = ours @ matrix + offset
    all_axes, all_knots, all_values = [], [], []
    shares = np.linspace(0.002, 0.998, _LEVELS)
    for number in range(_ROUNDS if slope > 1 else 0):
        axes = _axes(number)
        turned, wanted = ours @ axes, theirs @ axes
        knots = np.quantile(turned, shares, axis=0).T
        targets = np.quantile(wanted, shares, axis=0).T
        knots[:, 1:] = knots[:, :1] + np.cumsum(
            np.maximum(np.diff(knots, axis=1), 1e-3), axis=1
        )
        steps = np.diff(knots, axis=1)
        slopes = _limited(np.diff(targets, axis=1) / steps, steps, slope)
        values = np.concatenate(
            [np.zeros((3, 1)), np.cumsum(slopes * steps, axis=1)], axis=1
        )
        bent = _bend(turned, knots, values)
        values += (wanted.mean(axis=0) - bent.mean(axis=0))[:, None]
        ours = _bend(turned, knots, values) @ axes.T
        all_axes.append(axes)
        all_knots.append(knots)
        all_values.append(values)
    return ColorTransport(
        matrix,
        offset,
        *(np.array(found) for found in (all_axes, all_knots, all_values)),
    )


def _limited(slopes, steps, limit):
    """Slopes (3, k) within 1/limit and limit; where these allow it of equal total rise.

    As in the equalisation of limited contrast, what is cut off of the steepest is added
    to the others, by a common factor before the cut.
    """
    rise = np.sum(slopes * steps, axis=1, keepdims=True)
    low, high = np.full_like(rise, 1e-3), np.full_like(rise, 1e3)
    for _ in range(40):
        middle = np.sqrt(low * high)
        found = np.clip(middle * slopes, 1 / limit, limit)
        is_less = np.sum(found * steps, axis=1, keepdims=True) < rise
        low, high = np.where(is_less, middle, low), np.where(is_less, high, middle)
    return np.clip(np.sqrt(low * high) * slopes, 1 / limit, limit)


def _bend(points, knots, values):
    """Piecewise linear maps of the columns of (m, 3), with slope 1 beyond the ends."""
    columns = []
    for x, at, to in zip(points.T, knots, values, strict=True):
        beyond = np.minimum(x - at[0], 0) + np.maximum(x - at[-1], 0)
        columns.append(np.interp(x, at, to) + beyond)
    return np.stack(columns, axis=1)


def normal_transport(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The symmetric (3, 3) matrix of optimal transport between two covariances."""
    root, inverse = _power(ours, 0.5), _power(ours, -0.5)
    return inverse @ _power(root @ theirs @ root, 0.5) @ inverse


def _power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-9) ** exponent) @ vectors.T


@functools.cache
def _axes(number: int) -> np.ndarray:
    """(3, 3) orthogonal; the first are those of Lab."""
    if not number:
        return np.eye(3)
    normal = np.random.default_rng(number).standard_normal((3, 3))
    return np.linalg.qr(normal)[0]
