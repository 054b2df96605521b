"""Several sources as one."""

import bisect
import itertools
from collections.abc import Sequence

import numpy as np

from vgg_unpool_jax.data.sources import Source
from vgg_unpool_jax.errors import PhotoError, SourceError


class JoinedSource:
    """The photos of several sources, those of the first source first.

    Two parts may well have photos of the same name. Names therefore begin with the
    number of the part, counted from 1: `2/train2017/000000000009.jpg`.

    Args:
      parts: the sources, at least one; how many photos each holds is asked once, here.
    """

    def __init__(self, parts: Sequence[Source]):
        if not parts:
            raise SourceError("parts must be at least one source, got none")
        self._parts = tuple(parts)
        self._ends = list(itertools.accumulate(len(part) for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3) RGB; raises PhotoError when unreadable."""
        part, place = self._find(index)
        try:
            return self._parts[part][place]
        except PhotoError as error:
            raise self._renamed(error, index) from error

    def name(self, index: int) -> str:
        """Number of the part and name there of photo `index`."""
        part, place = self._find(index)
        return f"{part + 1}/{self._parts[part].name(place)}"

    def label(self, index: int) -> str | None:
        """Class of photo `index` as its part tells it; raises PhotoError as that does.

        Classes of the same name in two parts are one class.
        """
        part, place = self._find(index)
        try:
            return self._parts[part].label(place)
        except PhotoError as error:
            raise self._renamed(error, index) from error

    def __repr__(self) -> str:
        return " and ".join(map(repr, self._parts))

    def _find(self, index: int) -> tuple[int, int]:
        """Number of the part, from 0, and of the photo in it."""
        if not 0 <= index < len(self):
            raise IndexError(
                f"index must lie in 0..{len(self) - 1} for {self!r}, got {index}"
            )
        part = bisect.bisect_right(self._ends, index)
        return part, int(index) - (self._ends[part - 1] if part else 0)

    def _renamed(self, error: PhotoError, index: int) -> PhotoError:
        """The error with the name that the photo has here."""
        return PhotoError(f"{self.name(index)}: {error}")
