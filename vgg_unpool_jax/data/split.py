"""The split of photos into training, validation and test."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.errors import ConfigError, require_list


class SplitIndices(NamedTuple):
    """Three disjoint int64 index arrays that together cover every photo once."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_indices(
    count: int,
    fractions: tuple[float, float, float] = (0.9, 0.09, 0.01),
    *,
    seed: int,
) -> SplitIndices:
    """Split `range(count)` by a seeded permutation.

    Train and validation get their fraction of `count`, rounded to the nearest whole
    number (halves to even); test gets the rest. 123,403 photos become 111,063, 11,106
    and 1,234.

    Args:
      count: number of photos, at least 0.
      fractions: shares of train, validation and test; they sum to 1.
      seed: seed of the permutation, not negative.

    Returns:
      Three int64 arrays, disjoint, whose union is `range(count)`.
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    if seed < 0:
        raise ConfigError(f"seed must not be negative, got {seed}")
    require_list("fractions", fractions)
    fractions = tuple(fractions)
    if (
        len(fractions) != 3
        or not all(0 <= fraction <= 1 for fraction in fractions)
        or abs(sum(fractions) - 1) > 1e-6
    ):
        raise ConfigError(
            f"fractions must be three numbers in [0, 1] that sum to 1 "
            f"(train, validation, test), got {fractions}"
        )
    order = np.random.default_rng(seed).permutation(count).astype(np.int64)
    train_count = round(count * fractions[0])
    # Two halves that both round up must not ask for more photos than there are.
    validation_count = min(round(count * fractions[1]), count - train_count)
    return SplitIndices(
        train=order[:train_count],
        validation=order[train_count : train_count + validation_count],
        test=order[train_count + validation_count :],
    )


def split_groups(
    groups: Sequence[Hashable],
    fractions: tuple[float, float, float],
    *,
    seed: int,
) -> SplitIndices:
    """Split photos so that those of one group, such as a person, stay together.

    Args:
      groups: of each photo.
      fractions: shares of the groups, as in `split_indices`.
      seed: seed of the permutation of the groups, not negative.

    Returns:
      Three int64 arrays of photo numbers in ascending order.
    """
    numbers = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    of_photo = np.array([numbers[group] for group in groups], np.int64)
    parts = split_indices(len(numbers), fractions, seed=seed)
    return SplitIndices(*(np.flatnonzero(np.isin(of_photo, part)) for part in parts))
