"""From moved features to the picture: the steps behind the network.

    photo ─ features moved ─ difference smoothed ─ colours matched ─ difference smoothed

What is added to the photo is smooth but for the photo's edges
(`stylization.difference_smoothing`). A closing step brings the colours of each region
near those of the style's region (`stylization.color_transport`) and smooths that
difference, too, in rounds: smoothing takes back a part of each.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vgg_unpool_jax.applications.stylization.color_transport import (
    fit_transport,
    sample_colors,
)
from vgg_unpool_jax.applications.stylization.difference_smoothing import (
    add_smoothed_difference,
    smooth_along,
)
from vgg_unpool_jax.applications.stylization.looks import (
    DEFAULT_LOOK,
    SLOPE,
    Look,
    find_look,
)
from vgg_unpool_jax.applications.stylization.regions import Matching, Regions
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.applications.stylization.transfer import FeatureTransfer, Styles

# Coverage below which a region does not change a pixel's colour.
_LEAST = 1e-3


def transfer_look(
    stylizer: FeatureTransfer,
    photo,
    style: Styles,
    regions: Regions | None = None,
    *,
    look: str | Look = DEFAULT_LOOK,
    alpha: float = 1.0,
    strengths: Mapping[int, float] | None = None,
    progress: Callable | None = None,
) -> np.ndarray:
    """Give a photo the look of a style: features moved, smoothed, colours matched.

    Args:
      stylizer: moves the features; the transform is its own.
      photo: (h, w, 3) RGB in [0, 255].
      style: of `stylizer.measure_style`, or several with their shares.
      regions: of the photo's size; None is one region.
      look: the settings, or their name.
      alpha: 0 is no change, 1 the whole style.
      strengths: block -> factor on the look's strength there.
      progress: see `FeatureTransfer.stylize`.

    Returns:
      (h, w, 3) float32 in [0, 255].
    """
    look = find_look(look) if isinstance(look, str) else look
    styles = [(style, 1.0)] if isinstance(style, StyleStatistics) else list(style)
    matchings = [stylizer.match(regions, one) for one, _ in styles]
    image = stylizer.stylize(
        photo,
        styles,
        regions,
        matchings=matchings,
        alpha=alpha,
        strengths=look.strengths_at(stylizer.blocks, strengths),
        progress=progress,
    )
    result = finish(photo, image, styles, regions, matchings, look, alpha=alpha)
    return np.clip(result, 0.0, 255.0)


def finish(
    photo,
    image,
    styles: Sequence[tuple[StyleStatistics, float]],
    regions: Regions | None,
    matchings: Sequence[Matching],
    look: Look,
    *,
    alpha: float = 1.0,
) -> np.ndarray:
    """Smooth a stylised image and match its colours.

    Args:
      photo: (h, w, 3) RGB in [0, 255].
      image: (h, w, 3) on the scale of [0, 255], with moved features.
      styles: each with its share.
      regions: of the photo's size; None is one region.
      matchings: of the regions, for each style.
      look: the settings.
      alpha: 0 is no change, 1 the whole style.

    Returns:
      (h, w, 3) float32 on the scale of [0, 255], not clipped.
    """
    photo = np.asarray(photo, np.float32)
    smoothing = {"radius": look.radius * max(photo.shape[:2]), "sigma": look.sigma}
    result = add_smoothed_difference(photo, image, **smoothing)
    for _ in range(look.rounds):
        current = np.clip(result, 0.0, 255.0)
        wanted = transport(current, styles, regions, matchings, slope=look.slope)
        change = alpha * (np.clip(wanted, 0.0, 255.0) - current)
        result = result + smooth_along(photo, change, **smoothing)
    return result


def transport(
    image,
    styles: Sequence[tuple[StyleStatistics, float]],
    regions: Regions | None,
    matchings: Sequence[Matching],
    *,
    slope: float = SLOPE,
) -> np.ndarray:
    """Bring the colours of each region near those of its style region.

    Args:
      image: (h, w, 3) RGB in [0, 255].
      styles: each with its share.
      regions: of the image's size; None is one region.
      matchings: of the regions, for each style.
      slope: see `color_transport.fit_transport`.

    Returns:
      (h, w, 3) float32, not clipped.
    """
    colors = sample_colors(image, regions)
    total = sum(share for _, share in styles)
    image = np.asarray(image, np.float32)
    result, covered = np.zeros(image.shape, np.float32), np.zeros(image.shape[:2])
    for (style, share), matching in zip(styles, matchings, strict=True):
        for index, partner in enumerate(matching.pairs):
            ours, theirs = colors[index], style.whole_colors
            if partner < 0:
                ours = sample_colors(image)[0]
            else:
                theirs = style.colors[partner]
            coverage = _coverage(regions, index, np.shape(image)[:2])
            inside = coverage > _LEAST
            if not inside.any():
                continue
            mapped = fit_transport(ours, theirs, slope=slope)(image[inside])
            result[inside] += share / total * coverage[inside][:, None] * mapped
            covered += share / total * np.where(inside, coverage, 0.0)
    # Where several regions have a little each, which was left out.
    return result / covered[..., None].astype(np.float32)


def _coverage(regions: Regions | None, index: int, size) -> np.ndarray:
    if regions is None:
        return np.ones(size, np.float32)
    if regions.labels is not None:
        return (regions.labels == index).astype(np.float32)
    return regions.coverage[..., index]
