"""Smoothing by the matting affinity: pixels of like colours end up alike.

With the affinity W of closed-form matting, D its row sums and S = D^-½ W D^-½,

    (I - β S) R = (1 - β) Y,    I - β S = D^-½ (β (D - W) + (1 - β) D) D^-½

is solved for R by conjugate gradients, without a sparse matrix: W joins a pixel to the
24 around it and is symmetric, so that twelve numbers per pixel hold it, and D - W (the
matting Laplacian) is applied as a sum of differences, which is exactly 0 for a constant
image.

Where few windows hold a pixel, at the border, D is smaller: S maps sqrt(D), not a
constant image, to itself, and R gets a dark frame of two pixels. With D⁻¹ W instead of
S there is no frame; away from the border the equation is the same, and the solution
differs a little, as every pixel depends on all others. It is solved for D^½ R, whose
matrix is that of S.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.errors import UserError, require_image
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device

_WHITE = 255.0
_SIDE = 3
_PIXELS = _SIDE * _SIDE
# Largest distance of two pixels of a window along an axis.
_REACH = _SIDE - 1
# One of each two opposite neighbours: the affinity is symmetric.
_NEIGHBOURS = tuple(
    (dy, dx)
    for dy in range(_REACH + 1)
    for dx in range(-_REACH, _REACH + 1)
    if (dy, dx) > (0, 0)
)
# Share of the tolerance that a round aims at; the rest is left to rounding.
_ROUND_SHARE = 0.5


class MattingResult(NamedTuple):
    """The result of `matting_smooth`.

    Attributes:
      image: (h, w, 3) float32 on the scale of [0, 255], not clipped.
      iterations: of conjugate gradients.
      residual: |(1 - β) Y - (I - β S) R| / |(1 - β) Y|, of the worst colour; D^½ R and
        D^½ Y instead of R and Y unless `symmetric`.
    """

    image: jax.Array
    iterations: int
    residual: float


def matting_smooth(
    guide,
    image,
    *,
    beta: float = 0.9999,
    eps: float = 1e-7,
    tolerance: float = 1e-3,
    max_iterations: int = 3000,
    symmetric: bool = False,
) -> MattingResult:
    """Smooth an image along the edges of a guide, all of it at once.

    In every window the result tends to an affine map of the guide's colours. A pixel
    depends on all others, so there are no tiles: the peak is about 820 bytes per pixel.

    At the default tolerance the result was within 0.5 of the exact one, on the scale of
    [0, 255], and on average within 0.02, at 80×60 and 350×233 pixels.

    Args:
      guide: (h, w, 3) RGB in [0, 255], any real dtype, at least 3×3: the content photo.
      image: (h, w, 3) RGB in [0, 255], any real dtype: what is to be smoothed.
      beta: in (0, 1); the closer to 1, the smoother, and the more iterations.
      eps: of the affinity, for intensities in [0, 1]; positive.
      tolerance: largest residual, see `MattingResult`; positive.
      max_iterations: how many to allow.
      symmetric: solve with S = D^-½ W D^-½ as published, whose result has a dark frame
        of two pixels, instead of D⁻¹ W.

    Returns:
      The image with its residual and the number of iterations.

    Source:
      Levin, Lischinski and Weiss, "A closed-form solution to natural image matting",
      2008, equation 12 for the affinity; Li, Liu, Li, Yang and Kautz, "A closed-form
      solution to photorealistic image stylization", 2018, section 3.2, whose published
      program crops the frame and repeats what is next to it.
    """
    check_photo_range("guide", guide)
    guide, image = (on_device(array, jnp.float32) for array in (guide, image))
    require_image("guide", guide, 3)
    if image.shape != guide.shape or min(guide.shape[:2]) < _SIDE:
        raise ValueError(
            f"guide must be at least 3×3 pixels and image have its shape, got "
            f"{guide.shape} and {image.shape}"
        )
    numbers = {"eps": eps, "tolerance": tolerance, "max_iterations": max_iterations}
    if not 0.0 < beta < 1.0 or not all(0 < n < math.inf for n in numbers.values()):
        raise ValueError(
            f"beta must be between 0 and 1, and eps, tolerance and max_iterations "
            f"positive, got {beta!r} and {numbers}"
        )
    root = jnp.sqrt(window_counts(*image.shape[:2]))[None]
    scale = 1.0 if symmetric else root / _SIDE
    system = {
        "affinity": affinity(guide, eps),
        "right": jnp.moveaxis(image, -1, 0) * scale * jnp.float32(1.0 - beta),
        "beta": jnp.float32(beta),
        "rest": jnp.float32(1.0 - beta),
        "root": root,
    }
    solution = jnp.moveaxis(image, -1, 0) * scale
    correction = jnp.zeros_like(solution)
    iterations, residual = 0, math.inf
    while iterations < max_iterations:
        solution, correction, used, left = _solve_round(
            system, solution, correction, tolerance, max_iterations - iterations
        )
        before, residual = residual, float(left)
        iterations += int(used)
        # A round that does not even halve what is left is at the end of its digits.
        if residual <= tolerance or not residual < before / 2:
            break
    if not residual <= tolerance:
        raise UserError(
            f"the smoothing was not solved: after {iterations} of at most "
            f"{max_iterations} iterations the residual is {residual:.2g} "
            f"instead of {tolerance:.2g}. Allow more iterations or take a smaller beta."
        )
    image = jnp.moveaxis((solution + correction) / scale, 0, -1)
    return MattingResult(image, iterations, residual)


def _window_basis(guide: jax.Array, eps: jax.Array) -> jax.Array:
    """Orthonormal bases of the colours in 3×3 windows, (3, 9, h - 2, w - 2).

    With X the centred colours of the nine pixels, (9, 3), the affinity in a window is

        1/9 + X (XᵀX + eps · I)⁻¹ Xᵀ = 1/9 + Q Qᵀ

    where Q are the first nine rows of an orthonormal basis of the columns of X over
    sqrt(eps) · I. So no covariance is inverted, whose condition is the square of that
    of X: windows of two colours (edges, lettering) have one of rank one, and beside its
    entries float32 cannot distinguish eps from 0.
    """
    rows, columns = guide.shape[0] - _REACH, guide.shape[1] - _REACH
    vectors = []
    for channel in range(3):
        plane = guide[..., channel]
        centre = plane[1 : 1 + rows, 1 : 1 + columns]
        # Differences to the centre: those of 8-bit photos are exact.
        pixels = [
            plane[dy : dy + rows, dx : dx + columns] - centre
            for dy in range(_SIDE)
            for dx in range(_SIDE)
        ]
        mean = sum(pixels) / _PIXELS
        pixels = [pixel - mean for pixel in pixels]
        below = [
            jnp.full_like(centre, jnp.sqrt(eps) if row == channel else 0.0)
            for row in range(3)
        ]
        vectors.append(jnp.stack(pixels + below))
    basis = []
    for vector in vectors:
        for _ in range(2):  # after once it is orthogonal up to the condition of X
            for other in basis:
                vector -= jnp.sum(other * vector, 0, keepdims=True) * other
        length = jnp.sqrt(jnp.sum(jnp.square(vector), 0, keepdims=True))
        basis.append(vector / length)
    return jnp.stack([vector[:_PIXELS] for vector in basis])


@jax.jit
def affinity(guide: jax.Array, eps: float) -> jax.Array:
    """Matting affinity between the pixels of a guide.

    Args:
      guide: (h, w, 3) float32 RGB in [0, 255].
      eps: for intensities in [0, 1].

    Returns:
      (12, h, w): from each pixel to those at `_NEIGHBOURS`, 0 where there is none.
    """
    height, width, _ = guide.shape
    basis = _window_basis(guide, eps * _WHITE**2)
    values = []
    for dy, dx in _NEIGHBOURS:
        total = jnp.zeros((height, width), jnp.float32)
        # All positions in a window whose neighbour is in the same window.
        for y in range(_SIDE - dy):
            for x in range(max(0, -dx), min(_SIDE, _SIDE - dx)):
                first, second = y * _SIDE + x, (y + dy) * _SIDE + x + dx
                value = jnp.sum(basis[:, first] * basis[:, second], 0) + 1.0 / _PIXELS
                total += jnp.pad(value, ((y, _REACH - y), (x, _REACH - x)))
        values.append(total)
    return jnp.stack(values)


def window_counts(height: int, width: int) -> np.ndarray:
    """Row sums of the affinity, (height, width): how many windows hold each pixel."""

    def along(length):
        return np.convolve(np.ones(length - _REACH), np.ones(_SIDE))

    return np.outer(along(height), along(width)).astype(np.float32)


def _apply(system: Mapping[str, jax.Array], padded, planes) -> jax.Array:
    """(I - β S) planes (3, h, w), for an affinity padded at top and sides."""
    _, height, width = planes.shape
    root = system["root"]
    scaled = planes / root
    around = ((0, 0), (_REACH, _REACH), (_REACH, _REACH))
    scaled_padded = jnp.pad(scaled, around)

    def shifted(array, dy, dx):
        rows = slice(_REACH + dy, _REACH + dy + height)
        return array[..., rows, _REACH + dx : _REACH + dx + width]

    differences = jnp.zeros_like(planes)
    for value, (dy, dx) in zip(padded, _NEIGHBOURS, strict=True):
        forth = scaled - shifted(scaled_padded, dy, dx)
        back = scaled - shifted(scaled_padded, -dy, -dx)
        here, there = shifted(value, 0, 0), shifted(value, -dy, -dx)
        differences += here[None] * forth + there[None] * back
    return system["beta"] * differences / root + system["rest"] * planes


@jax.jit
def _solve_round(system, solution, correction, tolerance, max_iterations):
    """Conjugate gradients on the rest, with a residual that is computed afresh.

    The solution is the sum of two arrays: a single float32 array is exact enough for a
    photo, but has a residual of about 4e-3, because the other part of the system is
    small beside D - W.
    """
    around = ((0, 0), (_REACH, _REACH), (_REACH, _REACH))
    padded = tuple(jnp.pad(system["affinity"], around))

    def apply(planes):
        return _apply(system, padded, planes)

    def dot(first, second):
        return jnp.sum(first * second, axis=(1, 2), keepdims=True)

    def ratio(number, divisor):
        # A colour that is solved to the last digit stays as it is.
        return jnp.where(divisor > 0, number / jnp.where(divisor > 0, divisor, 1), 0)

    def unfinished(carry):
        _, _, _, square, count = carry
        return (count < max_iterations) & jnp.any(square > goal)

    def step(carry):
        planes, rest, direction, square, count = carry
        product = apply(direction)
        length = ratio(square, dot(direction, product))
        planes += length * direction
        rest -= length * product
        square, before = dot(rest, rest), square
        direction = rest + ratio(square, before) * direction
        return planes, rest, direction, square, count + 1

    right = system["right"]
    total = solution + correction
    correction = correction - (total - solution)
    rest = right - apply(total) - apply(correction)
    scale = dot(right, right)
    goal = jnp.square(_ROUND_SHARE * tolerance) * scale
    zeros = jnp.zeros_like(rest)
    carry = zeros, rest, rest, dot(rest, rest), 0
    change, _, _, _, count = jax.lax.while_loop(unfinished, step, carry)
    rest = rest - apply(change)
    square = dot(rest, rest)
    # For a black image the residual is absolute; nan stays nan.
    residual = jnp.where(scale > 0, jnp.sqrt(square / scale), jnp.sqrt(square))
    return total, correction + change, count, jnp.max(residual)
