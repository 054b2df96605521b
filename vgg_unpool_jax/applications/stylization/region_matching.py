"""Which regions of two photos belong together, and what is told of the others."""

import dataclasses
from collections.abc import Sequence

from vgg_unpool_jax.applications.stylization.regions import Regions

# PhotoWCT's limits.
SMALLEST_CELLS = 10
LARGEST_RATIO = 100.0
_NAMES_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Matching:
    """Which style region each content region takes its look from.

    Attributes:
      pairs: for each content region the index of the style region, or -1, where the
        statistics of both whole images are to be taken.
      sentences: what fell back and why, and what the style has alone; for the user.
    """

    pairs: tuple[int, ...]
    sentences: tuple[str, ...]


def match_regions(
    content: Regions,
    style: Regions,
    *,
    smallest: float = SMALLEST_CELLS,
    largest_ratio: float = LARGEST_RATIO,
) -> Matching:
    """Pair regions by name where both sides have enough cells for statistics.

    Args:
      content: regions on the grid whose cells the statistics are taken of.
      style: regions on the style's grid.
      smallest: a region of so many cells or fewer has no statistics of its own.
      largest_ratio: how many times larger one of a pair may be than the other; at the
        ratio itself it is too large.

    Returns:
      A pair or -1 for every content region; those without any cell are not told of.

    Source: the limits are those of PhotoWCT, Li et al. 2018, arXiv 1802.06474.
    """
    if smallest < 0 or largest_ratio <= 1:
        raise ValueError(
            f"smallest must be at least 0 and largest_ratio above 1, got {smallest!r} "
            f"and {largest_ratio!r}"
        )
    places = {name: i for i, name in enumerate(style.names)}
    content_areas, style_areas = content.areas(), style.areas()
    found: dict[str, list[str]] = {}
    pairs = []
    for name, area in zip(content.names, content_areas, strict=True):
        partner = places.get(name, -1)
        theirs = style_areas[partner] if partner >= 0 else 0.0
        if area == 0:
            trouble = None
        elif theirs == 0:
            trouble = "in the content alone"
        elif area <= smallest:
            trouble = f"too small in the content (at most {smallest:g} cells)"
        elif theirs <= smallest:
            trouble = f"too small in the style (at most {smallest:g} cells)"
        elif not 1 / largest_ratio < area / theirs < largest_ratio:
            trouble = f"{largest_ratio:g} times larger on one side than on the other"
        else:
            pairs.append(partner)
            continue
        pairs.append(-1)
        if trouble:
            found.setdefault(trouble, []).append(name)
    sentences = [
        _sentence(names, trouble, "stylised with the statistics of the whole images")
        for trouble, names in found.items()
    ]
    mine = dict(zip(content.names, content_areas, strict=True))
    alone = [
        name
        for name, area in zip(style.names, style_areas, strict=True)
        if area > 0 and not mine.get(name)
    ]
    if alone:
        sentences.append(_sentence(alone, "in the style alone", "not used by itself"))
    return Matching(tuple(pairs), tuple(sentences))


def _sentence(names: Sequence[str], trouble: str, consequence: str) -> str:
    subject = "regions" if len(names) > 1 else "region"
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    listed = f"{shown} and {more} more" if more > 0 else shown
    return f"{subject} {listed}: {trouble}; {consequence}"
