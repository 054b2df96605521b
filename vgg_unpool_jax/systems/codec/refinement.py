"""Choose integers that cost less than the rounded latents.

A photo costs its bits and λ times its squared error. For each latent the change of the
cost is estimated for one more and for one less than its integer: its own bits exactly,
those of the latents that are predicted from it and the error of the photo by their
gradients, the latter with the curvature of the linear synthesis. A random half of what
promises to gain is changed at a time; if the cost did not fall, it is taken back and a
smaller share is tried. A file of refined integers is decoded like any other.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.systems.codec.coder import LARGEST
from vgg_unpool_jax.systems.codec.entropy import logistic_bits, scale_of
from vgg_unpool_jax.systems.codec.model import RATIO, Codec
from vgg_unpool_jax.systems.codec.windows import windows

# Least promise in bits, first share of the changes, and its factor after a failure.
_LEAST_GAIN = 0.02
_FIRST_SHARE, _SMALLER = 0.5, 0.6


def make_estimate(model: Codec, lambdas) -> Callable:
    """A function that is to be jitted, of (variables, photo, weights, hyper, integers,
    quality).

    Args:
      model: the codec.
      lambdas: of its qualities.

    Returns:
      The function. Its arguments are the photo (stride h, stride w, 3) in [0, 255], a
      weight (stride h, stride w) for each of its pixels, the integers of the hyper
      latent, those of the latents (h, w, c), float32, and the number of the quality
      from 0. It returns the cost in bits, without that of the hyper latent, and its
      estimated changes (2, h, w, c) for one less and one more.
    """

    def estimate(
        variables: Mapping[str, Any], photo, weights, hyper, integers, quality
    ):
        qualities = jnp.asarray(quality, jnp.int32)[None]

        def apply(method, *arguments):
            return model.apply(variables, *arguments, qualities, method=method)

        def count_bits(context):
            means, indices = apply("predict", hyper[None], context[None])
            scales = scale_of(indices)
            bits = logistic_bits(integers[None], means, scales)
            return jnp.sum(bits), (bits[0], means[0], scales[0])

        def weigh_error(integers):
            error = jnp.square(apply("decode", integers[None])[0] - photo)
            return weight * jnp.sum(error * weights[..., None])

        weight = jnp.asarray(lambdas, jnp.float32)[quality] / 3.0
        rate = jax.value_and_grad(count_bits, has_aux=True)(integers)
        (bits, (each, means, scales)), by_context = rate
        error, by_error = jax.value_and_grad(weigh_error)(integers)
        kernel = variables["params"]["synthesis"]["linear"]["kernel"]
        kernel = kernel / model.linear_unit
        step = jnp.exp(variables["params"]["log_step"][quality])
        curvature = 2 * weight * jnp.sum(jnp.square(kernel), axis=1) * step**2
        slope = by_context + by_error
        changes = [
            logistic_bits(integers + change, means, scales)
            - each
            + slope * change
            + curvature / 2
            for change in (-1.0, 1.0)
        ]
        return bits + error, jnp.stack(changes)

    return estimate


def refine_photo(
    estimate: Callable,
    photo: np.ndarray,
    hyper: np.ndarray,
    integers: np.ndarray,
    model: Codec,
    effort: int,
) -> np.ndarray:
    """Integers of less cost, window by window.

    Args:
      estimate: of `make_estimate`, without its first and last argument.
      photo: (h, w, 3) in [0, 255].
      hyper: int16 (⌈h / (4 stride)⌉, ⌈w / (4 stride)⌉, hyper channels).
      integers: int16 (⌈h / stride⌉, ⌈w / stride⌉, channels).
      model: the codec.
      effort: number of times that integers are changed.

    Returns:
      int16, the shape of `integers`.
    """
    size, stride = integers.shape[:2], model.stride
    amounts = [
        (0, stride * latents - side)
        for latents, side in zip(size, photo.shape[:2], strict=True)
    ]
    padded = np.pad(photo, [*amounts, (0, 0)], mode="edge").astype(np.float32)
    weights = np.pad(np.ones(photo.shape[:2], np.float32), amounts)
    refined = integers.astype(np.float32)
    aligned = tuple(RATIO * side for side in hyper.shape[:2])
    for window, inner, outer in windows(aligned, model.reach):
        window = tuple(
            slice(s.start, min(s.stop, side))
            for s, side in zip(window, size, strict=True)
        )
        pixels = tuple(slice(stride * s.start, stride * s.stop) for s in window)
        above = tuple(slice(s.start // RATIO, -(-s.stop // RATIO)) for s in window)
        given = padded[pixels], weights[pixels], hyper[above].astype(np.float32)
        found = _refine(
            lambda part, given=given: estimate(*given, part),
            refined[window],
            inner,
            effort,
        )
        refined[outer] = found[inner]
    return np.clip(refined, -LARGEST, LARGEST).astype(np.int16)


def _refine(
    estimate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    integers: np.ndarray,
    inner: tuple[slice, slice],
    effort: int,
) -> np.ndarray:
    """The integers with the lowest cost; only those of `inner` change."""
    draws = np.random.default_rng(0)
    best, share, candidate = None, _FIRST_SHARE, integers
    allowed = np.zeros((*integers.shape[:2], 1), bool)
    allowed[inner] = True
    for turn in range(effort + 1):
        cost, changes = estimate(candidate)
        if best is None or cost < best[0]:
            best = cost, candidate, np.asarray(changes)
        else:
            share *= _SMALLER
        if turn < effort:
            _, integers, changes = best
            promising = (changes.min(axis=0) < -_LEAST_GAIN) & allowed
            drawn = promising & (draws.random(integers.shape) < share)
            step = np.where(changes[0] < changes[1], -1, 1).astype(np.float32)
            candidate = integers + np.where(drawn, step, np.float32(0))
    return best[1]
