"""The endless, numbered stream of training examples behind the loader.

Example k is a function of (source, indices, seed, k) alone: it has the same bytes in
whatever order and process it is computed, and resuming is starting at another k.
"""

import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.data.crops import Crop
from vgg_unpool_jax.data.decode import shown_name
from vgg_unpool_jax.data.sources import Source
from vgg_unpool_jax.errors import PhotoError

# Number of consecutive photos that are tried for an example. If all of them are broken,
# the share of broken photos is near 1.
_ATTEMPTS = 32

# Random streams that must not overlap: the order of an epoch, the crop of an example,
# and the other draws of an example.
_ORDER, _CROP, _EXAMPLE = 0, 1, 2


class Example(NamedTuple):
    """One element of a batch and the problems of reading it.

    Attributes:
      arrays: "image", uint8 (S, S, 3), and the other arrays of the example; zeros if
        `mask` is False.
      index: number of the photo in the source; -1 for padding.
      mask: whether `arrays` are from a photo.
      broken: (number in the source, reason) of every photo that could not be read, or
        in training was too small for the crop.
      too_small: in evaluation, (height, width) of a photo that is too small for the
        crop, else None.
    """

    arrays: dict[str, np.ndarray]
    index: int
    mask: bool
    broken: tuple[tuple[int, str], ...] = ()
    too_small: tuple[int, int] | None = None


class ExampleStream:
    """Random access to examples; `len` is a multiple of the batch size.

    Args:
      source: the photos.
      indices: int64 (count,), the photos of the source to use.
      crop: of each photo.
      make_example: (crop, random generator) -> arrays of the example, "image" among
        them, always of the same shapes for the same crop; None for the crop alone. With
        `shuffle` the generator depends on the example's number, else on the photo's
        number: in evaluation a photo's draws do not depend on the other photos.
      seed: seed of epoch orders and random crops.
      shuffle: True: every epoch in a new order, and a photo that is broken or too small
        for the crop is replaced by the next one that can be used. False: in the order
        of `indices`, a broken photo leaves a hole (mask False).
      num_epochs: number of passes over the photos; None for an endless stream.
      batch_size: examples are padded to a multiple of it.
    """

    def __init__(
        self,
        source: Source,
        indices: np.ndarray,
        *,
        crop: Crop,
        make_example: Callable | None,
        seed: int,
        shuffle: bool,
        num_epochs: int | None,
        batch_size: int,
    ):
        self._source = source
        self._indices = indices
        self._crop = crop
        self._make_example = make_example
        self._seed = seed
        self._shuffle = shuffle
        if num_epochs is None:
            self._count = None
            # Practically endless; the headroom keeps sums below the largest int.
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
            index = self.photo_number(k, attempt)
            try:
                photo = self._source[index]
            except PhotoError as error:
                broken.append((index, str(error)))
                continue
            if not self._crop.fits(photo.shape):
                if self._shuffle:
                    broken.append((index, self._too_small(index, photo.shape)))
                    continue
                return Example(
                    self._blank(),
                    index=index,
                    mask=False,
                    broken=tuple(broken),
                    too_small=photo.shape[:2],
                )
            arrays = self._arrays(photo, k, index)
            return Example(arrays, index=index, mask=True, broken=tuple(broken))
        return Example(
            self._blank(), index=broken[0][0], mask=False, broken=tuple(broken)
        )

    @property
    def _attempts(self) -> int:
        return min(_ATTEMPTS, len(self._indices)) if self._shuffle else 1

    def photo_number(self, k: int, attempt: int = 0) -> int:
        """Number in the source of the photo that example `k` tries first, or later."""
        epoch, place = divmod(k, len(self._indices))
        if self._shuffle:
            order = _epoch_order(self._seed, epoch, len(self._indices))
            place = order[(place + attempt) % len(order)]
        return int(self._indices[place])

    def crop_generator(self, k: int) -> np.random.Generator:
        """The generator of the random crop of example `k`."""
        return _generator(self._seed, _CROP, k)

    def _arrays(self, photo: np.ndarray, k: int, index: int) -> dict[str, np.ndarray]:
        rng = self.crop_generator(k) if self._crop.is_random else None
        image = self._crop.cut(photo, rng)
        if self._make_example is None:
            return {"image": image}
        number = k if self._shuffle else index
        return self._make_example(image, example_generator(self._seed, number))

    def _too_small(self, index: int, shape: tuple[int, ...]) -> str:
        name = shown_name(self._source.name(index))
        return (
            f"photo {name} has {shape[0]}×{shape[1]} pixels, too few for a crop "
            f"{self._crop.form} of {self._crop.image_size}"
        )

    def _blank(self) -> dict[str, np.ndarray]:
        blank = self._crop.blank
        if self._make_example is None or not blank.size:
            return {"image": blank}
        arrays = self._make_example(blank, example_generator(self._seed, 0))
        return {name: np.zeros_like(array) for name, array in arrays.items()}


def example_generator(seed: int, number: int) -> np.random.Generator:
    """The generator of what an example draws besides its crop.

    Args:
      seed: of the stream.
      number: of the example in training, of the photo in its source in evaluation.
    """
    return _generator(seed, _EXAMPLE, number)


# Around the end of an epoch two orders are in use, a few more with many threads.
@functools.lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    order = _generator(seed, _ORDER, epoch).permutation(count)
    order.flags.writeable = False
    return order


def _generator(seed: int, stream: int, number: int) -> np.random.Generator:
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(stream, number))
    )
