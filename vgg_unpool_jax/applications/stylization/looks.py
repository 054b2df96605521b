"""From moved features to the picture: looks, and the steps behind the network.

    photo ─ features moved ─ difference smoothed ─ colours matched ─ difference smoothed

What is added to the photo is smooth but for the photo's edges
(`stylization.difference_smoothing`). A closing step brings the colours of each region
near those of the style's region (`stylization.color_transport`) and smooths that
difference, too, in rounds: smoothing takes back a part of each.
"""

import dataclasses
import types
from collections.abc import Mapping, Sequence

import numpy as np

from vgg_unpool_jax.applications.stylization.color_transport import (
    SLOPE,
    fit_transport,
    sample_colors,
)
from vgg_unpool_jax.applications.stylization.difference_smoothing import (
    add_smoothed_difference,
    smooth_along,
)
from vgg_unpool_jax.applications.stylization.regions import Matching, Regions
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Look:
    """Settings of style transfer that belong together.

    Attributes:
      transform: of features, one of `stylization.transforms.TRANSFORMS`.
      strengths: block -> share of the style that its features take.
      radius: of the smoothing, as a share of the longer side.
      sigma: of the smoothing, in grey levels.
      rounds: of the closing step; 0 leaves it out.
      slope: limit of the closing step's slopes, see `color_transport`.
    """

    transform: str
    strengths: Mapping[int, float]
    radius: float
    sigma: float
    rounds: int
    slope: float = SLOPE


LOOKS: Mapping[str, Look] = types.MappingProxyType(
    {
        "faithful": Look("ot", {4: 0.5, 3: 0.5, 2: 0.5, 1: 0.5}, 0.08, 30.0, 1),
        "balanced": Look("ot", {4: 0.5, 3: 0.5, 2: 1.0, 1: 1.0}, 0.05, 30.0, 2),
        "strong": Look("ot", {4: 1.0, 3: 1.0, 2: 1.0, 1: 1.0}, 0.012, 15.0, 2),
    }
)


DEFAULT_LOOK = "balanced"


def find_look(name: str) -> Look:
    """The look of a name."""
    if name not in LOOKS:
        raise ConfigError(f"look must be one of {', '.join(LOOKS)}, got {name!r}")
    return LOOKS[name]


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
    result = np.zeros(np.shape(image), np.float32)
    for (style, share), matching in zip(styles, matchings, strict=True):
        for index, partner in enumerate(matching.pairs):
            ours, theirs = colors[index], style.whole_colors
            if partner < 0:
                ours = sample_colors(image)[0]
            else:
                theirs = style.colors[partner]
            coverage = _coverage(regions, index)
            if coverage is not None and not coverage.any():
                continue
            mapped = fit_transport(ours, theirs, slope=slope)(image)
            part = mapped if coverage is None else coverage[..., None] * mapped
            result += share / total * part
    return result


def _coverage(regions: Regions | None, index: int) -> np.ndarray | None:
    if regions is None:
        return None
    if regions.labels is not None:
        return (regions.labels == index).astype(np.float32)
    return regions.coverage[..., index]
