"""Feature transforms: affine maps that give content features the moments of a style.

    wct     Σs^½ Σc^-½ (x - μc) + μs, whitening with the content's covariance and
            colouring with the style's, both by their symmetric square roots (ZCA)
    ot      Σc^-½ (Σc^½ Σs Σc^½)^½ Σc^-½ (x - μc) + μs, of all maps between two normal
            distributions the one that moves features least (optimal transport)
    adain   diag(Σs)^½ diag(Σc)^-½ (x - μc) + μs, channel by channel

The covariance of few cells, or of channels that are always 0, is singular. Both
covariances get a ridge, a share of their own mean variance tr(Σ)/c, on the diagonal:

    Σ + ridge · tr(Σ)/c · I

so its effect depends neither on the scale of the features (raw VGG19 features of Keras
have variances of 1e2 to 1e5, PhotoWCT's normalised encoder about 1, where "+ I" means
something else) nor on their number, and equal moments give the identity. It bounds the
gain of a map: by the root of (λ + ridge)/ridge for a style with largest eigenvalue λ in
those units. All roots are computed by `eigh` and `svd`, which do not fail on singular
matrices.

Source: Li et al. 2017, arXiv 1705.08086 (WCT); Huang & Belongie 2017, arXiv 1703.06868
(AdaIN); Olkin & Pukelsheim 1982 (transport between normal distributions), first used
for style in arXiv 1905.11800.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.options import TRANSFORMS
from vgg_unpool_jax.ops.moments import Moments
from vgg_unpool_jax.ops.placing import on_device

_EXACT = jax.lax.Precision.HIGHEST

# Mean variance over mean square of the channel means, below which features count as
# constant: float32 rounding leaves about 1e-14.
_FLAT = 1e-11
# Mean variance below which they count as constant, too: its reciprocal is finite.
_SILENT = 1e-30


class AffineMap(NamedTuple):
    """An affine map of features x in each of r regions: x @ matrix + offset.

    Attributes:
      matrix: (r, c, c).
      offset: (r, c).
    """

    matrix: jax.Array
    offset: jax.Array


def make_map(
    content: Moments,
    style: Moments,
    *,
    transform: str,
    ridge: float,
    alpha: float | jax.Array = 1.0,
) -> AffineMap:
    """The map that gives each region the moments of its style.

    Args:
      content: moments of r regions.
      style: moments of r styles, one per region.
      transform: one of `TRANSFORMS`.
      ridge: share of the mean variance that is added to both covariances; positive.
      alpha: 0 (no change) to 1; values beyond 1 exaggerate.

    Returns:
      Maps of r regions. A region of constant features, whose covariance is rounding,
      becomes the style's mean.
    """
    if transform not in TRANSFORMS:
        raise ValueError(
            f"transform must be one of {', '.join(TRANSFORMS)}, got {transform!r}"
        )
    if not ridge > 0.0:
        raise ValueError(f"ridge must be positive, got {ridge}")
    matrices = {"wct": _wct, "ot": _transport, "adain": _adain}[transform]

    def of_one(pair):
        content, style = pair
        content_scale, style_scale = _mean_variance(content), _mean_variance(style)
        flat = content_scale <= _FLAT * jnp.mean(jnp.square(content.mean)) + _SILENT
        unit = 1.0 / jnp.where(flat, 1.0, content_scale)
        style_unit = 1.0 / jnp.where(style_scale > _SILENT, style_scale, 1.0)
        matrix = matrices(
            content.covariance * unit, style.covariance * style_unit, ridge
        )
        matrix = matrix * jnp.sqrt(jnp.maximum(style_scale, 0.0) * unit)
        matrix = jnp.where(flat, 0.0, matrix)
        identity = jnp.eye(len(matrix), dtype=matrix.dtype)
        matrix = alpha * matrix + (1.0 - alpha) * identity
        target = alpha * style.mean + (1.0 - alpha) * content.mean
        moved = jnp.matmul(content.mean, matrix, precision=_EXACT)
        return AffineMap(matrix, target - moved)

    as_arrays = (
        Moments(*(on_device(array, jnp.float32) for array in part))
        for part in (content, style)
    )
    return jax.lax.map(of_one, tuple(as_arrays))


def mix_maps(maps: list[AffineMap], shares: list[float]) -> AffineMap:
    """Maps to several styles at once: features are mixed by the shares.

    Args:
      maps: one for each style.
      shares: as many, of any sum but zero; they are divided by it.
    """
    check_shares(shares, len(maps))
    shares = [float(share / sum(shares)) for share in shares]
    return AffineMap(
        sum(share * part.matrix for share, part in zip(shares, maps, strict=True)),
        sum(share * part.offset for share, part in zip(shares, maps, strict=True)),
    )


def check_shares(shares: list[float], count: int) -> None:
    """Raise `ValueError` unless there are `count` shares with a sum that is not 0."""
    valid = len(shares) == count > 0 and sum(shares) and np.isfinite(shares).all()
    if not valid:
        raise ValueError(
            f"shares must be one finite number for each of one or more styles with a "
            f"sum that is not 0, got {list(shares)} for {count}"
        )


def apply_map(
    features: jax.Array,
    coverage: jax.Array,
    maps: AffineMap,
    start: jax.Array | None = None,
) -> jax.Array:
    """Map features by the maps of their regions.

    Args:
      features: (h, w, c).
      coverage: (r, h, w), the share of each region in each cell; where the shares sum
        to less than 1, the rest of the cell keeps its features.
      maps: of r regions.
      start: (h, w, c), the result so far, where other regions have been mapped before.

    Returns:
      (h, w, c) float32.
    """
    features = features.astype(jnp.float32)

    def add(result, region):
        share, matrix, offset = region
        share = share[:, :, None]
        mapped = jnp.matmul(features, matrix, precision=_EXACT) + offset[None, None]
        # In this order nothing of the old features is left where the share is 1.
        return (result - share * features) + share * mapped, None

    coverage = coverage.astype(jnp.float32)
    start = features if start is None else start
    return jax.lax.scan(add, start, (coverage, maps.matrix, maps.offset))[0]


def _mean_variance(moments: Moments) -> jax.Array:
    return jnp.trace(moments.covariance) / moments.covariance.shape[-1]


def _power(covariance: jax.Array, ridge: float, exponent: float) -> jax.Array:
    """(covariance + ridge)^exponent of a symmetric matrix of unit mean variance."""
    values, vectors = jnp.linalg.eigh(covariance)
    # Rounding makes zeros slightly negative.
    values = jnp.maximum(values, 0.0) + ridge
    return jnp.matmul(vectors * values[None] ** exponent, vectors.T, precision=_EXACT)


def _wct(content, style, ridge):
    whiten, colour = _power(content, ridge, -0.5), _power(style, ridge, 0.5)
    return jnp.matmul(whiten, colour, precision=_EXACT)


def _transport(content, style, ridge):
    values, vectors = jnp.linalg.eigh(content)
    style_values, style_vectors = jnp.linalg.eigh(style)
    root, style_root = (
        jnp.sqrt(jnp.maximum(found, 0.0) + ridge) for found in (values, style_values)
    )
    # (Σc^½ Σs Σc^½)^½ in the content's own axes. From the singular values of Σs^½ Σc^½:
    # its square has twice the digits between its eigenvalues, more than float32 has.
    product = jnp.matmul(style_vectors.T, vectors, precision=_EXACT)
    product = style_root[:, None] * product * root[None, :]
    _, singular, axes = jnp.linalg.svd(product)
    middle = jnp.matmul(axes.T * singular[None], axes, precision=_EXACT)
    middle = middle / root[:, None] / root[None, :]
    half = jnp.matmul(vectors, middle, precision=_EXACT)
    return jnp.matmul(half, vectors.T, precision=_EXACT)


def _adain(content, style, ridge):
    # Rounding makes zeros slightly negative.
    wanted, found = (jnp.maximum(jnp.diagonal(m), 0.0) for m in (style, content))
    return jnp.diag(jnp.sqrt((wanted + ridge) / (found + ridge)))
