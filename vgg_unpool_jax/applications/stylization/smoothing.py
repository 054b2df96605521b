"""The smoothings of photorealistic style transfer by their names."""

import numpy as np

from vgg_unpool_jax.applications.stylization.difference_smoothing import (
    add_smoothed_difference,
)
from vgg_unpool_jax.applications.stylization.guided_filter import guided_filter
from vgg_unpool_jax.applications.stylization.lut import apply_lut, fit_lut
from vgg_unpool_jax.applications.stylization.matting import matting_smooth
from vgg_unpool_jax.applications.stylization.options import DIFFERENCE, LUT, SMOOTHINGS


def smooth(name: str, guide, image, **options):
    """Smooth a stylised image along the edges of its content photo.

    Args:
      name: one of `SMOOTHINGS`.
      guide: (h, w, 3) RGB in [0, 255], the content photo.
      image: (h, w, 3) RGB in [0, 255], stylised.
      **options: of `add_smoothed_difference`, `guided_filter` or `matting_smooth`;
        "lut" and "none" have none.

    Returns:
      (h, w, 3) float32 on the scale of [0, 255], not clipped.
    """
    if name == DIFFERENCE:
        return add_smoothed_difference(guide, image, **options)
    if name == "guided":
        return guided_filter(guide, image, **options)
    if name == "matting":
        return matting_smooth(guide, image, **options).image
    if name == LUT and not options:
        return apply_lut(fit_lut(guide, np.clip(image, 0.0, 255.0)), guide)
    if name != "none" or options:
        raise ValueError(
            f"name must be one of {', '.join(SMOOTHINGS)}; 'lut' and 'none' have no "
            f"options, got {name!r} and {options}"
        )
    return np.asarray(image, np.float32)
