"""A guided filter whose local fits stay steady over the frames of a film."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.stylization.box_filter import merge_windows
from vgg_unpool_jax.applications.stylization.guided_filter import (
    apply_fits,
    check_guide_and_image,
    check_options,
    joint_moments,
)


class SteadyGuidedFilter:
    """The guided filter with windows that reach back in time.

    `guided_filter` fits an image by an affine map of its guide's colours in windows of
    a frame. Here the means and covariances of a window are averaged over the frames
    before, frame s counting in frame t by exp(-(t - s) / time_constant), and the fits
    are applied to the guide of frame t: colours that flicker become steady, and edges
    stay those of the frame, which fits have none of.

    Where what is in a window changes, the past is forgotten there, all of it from a
    jump of `limit` on:

        jump² = |mean_t - mean|² / (½ (tr cov_t + tr cov) + 3 eps)

    of the guide, in the window, with the averages without t.
    """

    def __init__(
        self,
        time_constant: float,
        *,
        limit: float = 1.0,
        radius: int | None = None,
        eps: float = 1e-4,
    ):
        """Begin a film.

        Args:
          time_constant: in frames, from 0 on; 0 is `guided_filter` frame by frame.
          limit: see the class, positive.
          radius: see `guided_filter`.
          eps: see `guided_filter`.
        """
        if not 0 <= time_constant < math.inf:
            raise ValueError(
                f"time_constant must be a number of frames from 0 on, got "
                f"{time_constant!r}"
            )
        if not limit > 0:
            raise ValueError(f"limit must be above 0, got {limit!r}")
        self._keep = math.exp(-1 / time_constant) if time_constant else 0.0
        self._limit, self._radius, self._eps = limit, radius, eps
        self._past = None

    def begin_scene(self) -> None:
        """Forget the frames so far."""
        self._past = None

    def __call__(self, guide, image) -> jax.Array:
        """Filter the next frame.

        Args:
          guide: (h, w, 3) RGB in [0, 255], the frame.
          image: of the same shape, what was made of it.

        Returns:
          (h, w, 3) float32 on the scale of [0, 255], not clipped. About 90 bytes a
          pixel are kept for the next frame.
        """
        shape = np.shape(guide)
        check_guide_and_image(shape, np.shape(image))
        radius = check_options(shape, self._radius, self._eps)
        guide, image = (jnp.asarray(array, jnp.float32) for array in (guide, image))
        eps = jnp.float32(self._eps)
        moments = _joint_moments(guide, image, radius)
        total = jnp.ones(shape[:2], jnp.float32)
        if self._past is not None and self._keep:
            if self._past[1].shape != shape[:2]:
                raise ValueError(
                    f"guide must have the shape of the frames before, "
                    f"{self._past[1].shape}, got {shape[:2]}"
                )
            moments, total = _remember(
                *self._past, moments, eps, self._keep, self._limit
            )
        self._past = moments, total
        return _apply_fits(moments, guide, eps, radius)


_joint_moments = functools.partial(jax.jit, static_argnums=2)(joint_moments)
_apply_fits = functools.partial(jax.jit, static_argnums=3)(apply_fits)


@jax.jit
def _remember(past, total, now, eps, keep, limit):
    """Averages with this frame, and the sum of the weights (h, w)."""
    distance = jnp.sum((now.means[:3] - past.means[:3]) ** 2, axis=0)
    spread = sum(
        (before[0] + after[0]) / 2
        for before, after in zip(past.covariances, now.covariances, strict=True)
    )
    jump = distance / (spread + 3 * eps) / limit**2
    total = keep * total * (1.0 - jnp.minimum(jump, 1.0)) + 1.0
    return merge_windows(past, now, 1.0 / total), total
