"""Every edit as a strip of pictures with captions, and measurements of it."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from vgg_unpool_jax.applications.editing.chain import reencode
from vgg_unpool_jax.applications.editing.directions import (
    drop_directions,
    principal_directions,
    scale_directions,
)
from vgg_unpool_jax.applications.editing.photo_pairs import (
    interpolate,
    swap_switches,
    switch_agreement,
)
from vgg_unpool_jax.applications.editing.photos import (
    encode_photo,
    l1,
    match_size,
)
from vgg_unpool_jax.applications.resizing import as_photo
from vgg_unpool_jax.errors import ConfigError, require_list
from vgg_unpool_jax.evaluation.pictures import picture_grid, save_photo
from vgg_unpool_jax.systems.unpooling.pair import Pair

# Names of the edits, and those that take a second photo.
EDITS = ("interpolate", "scale", "drop", "swap", "reencode")
WITH_SECOND = ("interpolate", "swap")


@dataclasses.dataclass(frozen=True)
class Strip:
    """Pictures of an edit.

    Attributes:
      frames: (h, w, 3) by caption, all different, from left to right.
      notes: lines with further measurements.
    """

    frames: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


def interpolation_strip(pair: Pair, photo, second, steps: int, switches: str) -> Strip:
    """Both photos and `interpolate` between them, with L1 to either."""
    photo = as_photo(photo)
    second = match_size(second, photo.shape[:2])
    images = interpolate(pair, photo, second, steps, switches=switches)
    frames = {"first": photo}
    for share, image in zip(np.linspace(0, 1, steps), images, strict=True):
        errors = f"{l1(image, photo):.2f}, {l1(image, second):.2f}"
        frames[f"{share:.3g}: L1 {errors}"] = image
    return Strip(
        {**frames, "second": second},
        ("L1 to the first and to the second photo", *_agreement(pair, photo, second)),
    )


def scaling_strip(pair: Pair, photo, count: int, factors: Sequence[float]) -> Strip:
    """The photo and `scale_directions`, with L1 to it and the explained variance."""
    images = scale_directions(pair, photo, count, factors)
    titles = [f"x {factor:g}" for factor in factors]
    return Strip(_against(photo, titles, images), _explained(pair, photo, [count]))


def dropping_strip(pair: Pair, photo, counts: Sequence[int]) -> Strip:
    """The photo and `drop_directions`, with L1 to it and the explained variance."""
    images = drop_directions(pair, photo, counts)
    titles = [f"without {count}" for count in counts]
    return Strip(_against(photo, titles, images), _explained(pair, photo, counts))


def swapping_strip(pair: Pair, photo, second) -> Strip:
    """Both photos, their reconstructions and `swap_switches`, with L1 to either."""
    photo = as_photo(photo)
    second = match_size(second, photo.shape[:2])
    swapped = swap_switches(pair, photo, second)
    own = [np.asarray(pair.reconstruct(image[None]))[0] for image in (photo, second)]
    frames = {"first": photo}
    titles = ("own", "second's", "first's", "own ")  # the last differs, as keys must
    images = (own[0], swapped[0], swapped[1], own[1])
    for owner, title, image in zip("1122", titles, images, strict=True):
        errors = f"{l1(image, photo):.2f}, {l1(image, second):.2f}"
        frames[f"features {owner}, {title} switches: L1 {errors}"] = image
    return Strip(
        {**frames, "second": second},
        ("L1 to the first and to the second photo", *_agreement(pair, photo, second)),
    )


def chain_strip(pair: Pair, photo, times: int) -> Strip:
    """The photo and `reencode`, with L1 to the photo and to the round before."""
    chain = reencode(pair, photo, times)
    frames = {"photo": chain.images[0]}
    rows = zip(chain.images, chain.from_photo, chain.from_previous, strict=True)
    for number, (image, first, previous) in enumerate(rows):
        if number:
            frames[f"round {number}: L1 {first:.2f}, {previous:.2f}"] = image
    return Strip(frames, ("L1 to the photo and to the round before",))


def make_strip(
    edit: str,
    pair: Pair,
    photos: Sequence,
    *,
    steps: int = 5,
    switches: str = "nearest",
    counts: Sequence[int] = (1,),
    factors: Sequence[float] = (0.0, 1.0),
) -> Strip:
    """The strip of an edit by its name.

    Args:
      edit: one of `EDITS`.
      pair: a trained pair.
      photos: one of (h, w, 3), or two where the edit is of `WITH_SECOND`.
      steps: pictures of an interpolation, rounds of a chain.
      switches: one of `photo_pairs.SWITCHES`, for an interpolation.
      counts: of directions; one number for "scale", any for "drop".
      factors: of "scale".
    """
    if edit not in EDITS:
        raise ConfigError(f"edit must be one of {', '.join(EDITS)}, got {edit!r}")
    require_list("photos", photos)
    count = 2 if edit in WITH_SECOND else 1
    if len(photos) != count:
        raise ConfigError(f"{edit} takes {count} photos, got {len(photos)}")
    if edit == "scale" and len(counts) != 1:
        raise ConfigError(f"scale takes one count of directions, got {list(counts)}")
    return {
        "interpolate": lambda: interpolation_strip(pair, *photos, steps, switches),
        "scale": lambda: scaling_strip(pair, *photos, counts[0], factors),
        "drop": lambda: dropping_strip(pair, *photos, counts),
        "swap": lambda: swapping_strip(pair, *photos),
        "reencode": lambda: chain_strip(pair, *photos, steps),
    }[edit]()


def save_strip(path: str | os.PathLike, strip: Strip) -> None:
    """Write the pictures side by side with captions, as `save_photo` does."""
    columns = {title: image[None] for title, image in strip.frames.items()}
    save_photo(path, picture_grid(columns))


def _against(photo, titles, images) -> dict[str, np.ndarray]:
    photo = as_photo(photo)
    frames = {"photo": photo}
    for title, image in zip(titles, images, strict=True):
        caption = f"{title}: L1 {l1(image, photo):.2f}"
        if caption in frames:
            raise ConfigError(f"every picture must differ, got {title} twice")
        frames[caption] = image
    return frames


def _explained(pair, photo, counts) -> tuple[str, ...]:
    """The share of the features' variance along the top directions, in words."""
    features, _ = encode_photo(pair, photo)
    shares = principal_directions(features, max(1, *counts)).explained()
    channels = features.shape[-1]
    return tuple(
        f"top {count} of {channels} directions: {shares[:count].sum():.1%} of variance"
        for count in counts
        if count
    )


def _agreement(pair, photo, second) -> tuple[str, ...]:
    """The share of equal switches of two photos, in words."""
    if pair.block == 1:
        return ()
    (_, first), (_, other) = (encode_photo(pair, image) for image in (photo, second))
    shares = ", ".join(f"{share:.1%}" for share in switch_agreement(first, other))
    return (f"equal switches at pools 1 to {pair.block - 1}: {shares}",)
