"""A source that keeps decoded photos in memory.

A random crop from memory costs a copy, decoding the photo costs a millisecond. With a
data set that fits into memory a few cores can feed an accelerator.
"""

import threading

import numpy as np

from vgg_unpool_jax.data.sources import Source, source_files


class CachedSource:
    """The photos of another source, read once as long as they fit into the memory.

    Photos that do not fit are read from the other source every time, and so are broken
    ones. Each reader process has its own cache and needs the memory for it.

    Args:
      source: the photos.
      megabytes: size of the cache of decoded photos in 10^6 bytes, at least 1.
    """

    def __init__(self, source: Source, megabytes: int):
        if megabytes < 1:
            raise ValueError(f"megabytes must be at least 1, got {megabytes}")
        self._source = source
        self._limit = 10**6 * megabytes
        self._forget()

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as read-only uint8 (H, W, 3) RGB; raises PhotoError."""
        photo = self._photos.get(index)
        if photo is not None:
            return photo
        photo = self._source[index]
        with self._lock:
            # Another thread may have stored it in the meantime.
            if index not in self._photos and photo.nbytes <= self._limit - self._bytes:
                photo.flags.writeable = False
                self._photos[index] = photo
                self._bytes += photo.nbytes
        return photo

    @property
    def files(self) -> list[str]:
        """The files of the other source."""
        return source_files(self._source)

    def name(self, index: int) -> str:
        """Name of photo `index`."""
        return self._source.name(index)

    def label(self, index: int) -> str | None:
        """Class of photo `index`."""
        return self._source.label(index)

    def __repr__(self) -> str:
        return repr(self._source)

    def __getstate__(self):
        return {"source": self._source, "limit": self._limit}

    def __setstate__(self, state):
        self._source, self._limit = state["source"], state["limit"]
        self._forget()

    def _forget(self) -> None:
        self._photos: dict[int, np.ndarray] = {}
        self._bytes = 0
        self._lock = threading.Lock()
