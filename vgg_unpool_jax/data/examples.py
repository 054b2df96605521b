"""The endless, numbered stream of training examples behind the loader.

Example k is a function of (source, indices, seed, k) alone. Whoever computes it, in
whatever order and process, gets the same bytes; resuming is starting at another k.
"""

import functools
import sys
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.data.crops import Crop
from vgg_unpool_jax.data.sources import Source
from vgg_unpool_jax.errors import PhotoError

# How many photos in a row are tried before an example is given up. So many broken ones
# in a row mean that the share of broken photos is near 1.
_ATTEMPTS = 32

# Random streams that must not overlap: the order of an epoch, the crop of an example.
_ORDER, _CROP = 0, 1


class Example(NamedTuple):
    """One element of a batch and the news from reading it.

    Attributes:
      image: uint8 (S, S, 3); zeros where `mask` is False.
      index: number of the photo in the source; -1 for padding.
      mask: whether `image` counts.
      broken: (number in the source, reason) of every photo that could not be read.
      too_small: (height, width) of a photo that the crop does not fit into, else None.
    """

    image: np.ndarray
    index: int
    mask: bool
    broken: tuple[tuple[int, str], ...] = ()
    too_small: tuple[int, int] | None = None


class ExampleStream:
    """Random access to examples; `len` is a multiple of the batch size.

    Args:
      source: the photos.
      indices: int64 (count,), the photos of the source to use.
      crop: what is cut out of each photo.
      seed: seed of epoch orders and random crops.
      shuffle: True: every epoch in a new order, and a broken photo is replaced by the
        next readable one. False: in the order of `indices`, a broken photo leaves a
        hole (mask False).
      num_epochs: how often every photo comes; None: for ever.
      batch_size: examples are padded to a multiple of it.
    """

    def __init__(
        self,
        source: Source,
        indices: np.ndarray,
        *,
        crop: Crop,
        seed: int,
        shuffle: bool,
        num_epochs: int | None,
        batch_size: int,
    ):
        self._source = source
        self._indices = indices
        self._crop = crop
        self._seed = seed
        self._shuffle = shuffle
        if num_epochs is None:
            self._count = None
            # Endless to all ends; the headroom keeps sums below the largest int.
            self._length = sys.maxsize // 4 // batch_size * batch_size
        else:
            self._count = num_epochs * len(indices)
            self._length = -(-self._count // batch_size) * batch_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, k: int) -> Example:
        if self._count is not None and k >= self._count:
            return Example(self._blank(), index=-1, mask=False)
        broken = []
        for attempt in range(self._attempts):
            index = self._photo_number(k, attempt)
            try:
                photo = self._source[index]
            except PhotoError as error:
                broken.append((index, str(error)))
                continue
            if not self._crop.fits(photo.shape):
                return Example(
                    self._blank(),
                    index=index,
                    mask=False,
                    broken=tuple(broken),
                    too_small=photo.shape[:2],
                )
            image = self._cut(photo, k)
            return Example(image, index=index, mask=True, broken=tuple(broken))
        return Example(
            self._blank(), index=broken[0][0], mask=False, broken=tuple(broken)
        )

    @property
    def _attempts(self) -> int:
        return min(_ATTEMPTS, len(self._indices)) if self._shuffle else 1

    def _photo_number(self, k: int, attempt: int) -> int:
        epoch, place = divmod(k, len(self._indices))
        if self._shuffle:
            order = _epoch_order(self._seed, epoch, len(self._indices))
            place = order[(place + attempt) % len(order)]
        return int(self._indices[place])

    def _cut(self, photo: np.ndarray, k: int) -> np.ndarray:
        rng = _generator(self._seed, _CROP, k) if self._crop.is_random else None
        return self._crop.cut(photo, rng)

    def _blank(self) -> np.ndarray:
        size = self._crop.image_size
        return np.zeros((size, size, 3), np.uint8)


# At an epoch's border two orders are in use at once, a few more with many threads.
@functools.lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    order = _generator(seed, _ORDER, epoch).permutation(count)
    order.flags.writeable = False
    return order


def _generator(seed: int, stream: int, number: int) -> np.random.Generator:
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(stream, number))
    )
