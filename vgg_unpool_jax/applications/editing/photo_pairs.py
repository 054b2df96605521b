"""Two photos mixed: their features interpolated, their switches swapped."""

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.applications.editing.photos import (
    Switches,
    decode_photo_features,
    encode_photo,
    match_size,
)
from vgg_unpool_jax.applications.resizing import as_photo
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.unpooling.pair import Pair

# Whose switches an interpolation unpools with.
SWITCHES = ("first", "second", "nearest", "blend")


def interpolate(
    pair: Pair, first, second, steps: int, *, switches: str = "nearest"
) -> np.ndarray:
    """Pictures on the straight line between the features of two photos.

    Args:
      pair: a trained pair.
      first: (h, w, 3), where the line begins.
      second: where it ends; `match_size` brings it to the size of the first.
      steps: number of pictures, both ends included; at least 2.
      switches: "first" or "second" are that photo's throughout; "nearest" the first's
        up to the middle and the second's from there; "blend" decodes with either and
        mixes the two pictures as the features are mixed.

    Returns:
      (steps, h, w, 3).
    """
    if steps < 2:
        raise ConfigError(f"steps must be at least 2, got {steps}")
    if switches not in SWITCHES:
        raise ConfigError(
            f"switches must be one of {', '.join(SWITCHES)}, got {switches!r}"
        )
    first = as_photo(first)
    second = match_size(second, first.shape[:2])
    features, codes = zip(
        *(encode_photo(pair, p) for p in (first, second)), strict=True
    )
    frames = []
    for position in np.linspace(0.0, 1.0, steps, dtype=np.float32):
        mixed = _mix(*features, position)
        shares = {
            "first": (1.0, 0.0),
            "second": (0.0, 1.0),
            "nearest": (1.0, 0.0) if position < 0.5 else (0.0, 1.0),
            "blend": (1.0 - position, position),
        }[switches]
        parts = [
            share * decode_photo_features(pair, mixed, code, first.shape[:2])
            for share, code in zip(shares, codes, strict=True)
            if share
        ]
        frames.append(sum(parts))
    return np.stack(frames)


def swap_switches(pair: Pair, first, second) -> np.ndarray:
    """Decode the features of each of two photos with the switches of the other.

    Args:
      pair: a trained pair of block 2 or more: block 1 has no switches.
      first: (h, w, 3).
      second: `match_size` brings it to the size of the first.

    Returns:
      (2, h, w, 3): the first's features with the second's switches, and the second's
      features with the first's switches.
    """
    if pair.block == 1:
        raise ConfigError("a pair of block 1 has no switches that could be swapped")
    first = as_photo(first)
    second = match_size(second, first.shape[:2])
    (features, switches), (other_features, other_switches) = (
        encode_photo(pair, photo) for photo in (first, second)
    )
    size = first.shape[:2]
    return np.stack(
        [
            decode_photo_features(pair, features, other_switches, size),
            decode_photo_features(pair, other_features, switches, size),
        ]
    )


def switch_agreement(first: Switches, second: Switches) -> list[float]:
    """Shares of equal window codes, one for each pool; a quarter if by chance."""
    return [
        float(jnp.mean(jnp.equal(a, b))) for a, b in zip(first, second, strict=True)
    ]


@jax.jit
def _mix(first, second, position):
    # Exactly the first at 0 and the second at 1.
    return (1.0 - position) * first + position * second
