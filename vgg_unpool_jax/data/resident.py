"""Random crops of photos that are kept on the accelerator.

Decoding and cropping on the host feed about a thousand crops a second from a few cores;
an accelerator trains on several thousand. A set that fits into its memory is decoded
once, and each batch is one gather.
"""

import concurrent.futures
import functools
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.data.crops import make_crop
from vgg_unpool_jax.data.examples import ExampleStream
from vgg_unpool_jax.data.sources import Source
from vgg_unpool_jax.data.transforms import random_corner
from vgg_unpool_jax.errors import ConfigError, PhotoError


class ResidentPhotos:
    """The pixels of some photos, one after the other, in one array on the device.

    Args:
      source: the photos.
      indices: of the photos to use, integers of shape (count,).
      num_threads: that decode.
    """

    def __init__(self, source: Source, indices: np.ndarray, *, num_threads: int):
        self.source, self.indices = source, np.asarray(indices, np.int64)
        with concurrent.futures.ThreadPoolExecutor(max(num_threads, 1)) as pool:
            try:
                photos = list(pool.map(source.__getitem__, map(int, self.indices)))
            except PhotoError as error:
                raise ConfigError(
                    f"data.keep_on_device needs readable photos: {error}; set it to "
                    "false, and broken ones are skipped"
                ) from error
        self.shapes = {
            int(index): photo.shape[:2]
            for index, photo in zip(self.indices, photos, strict=True)
        }
        counts = [height * width for height, width in self.shapes.values()]
        self.offsets = dict(
            zip(self.shapes, np.cumsum([0, *counts[:-1]]).tolist(), strict=True)
        )
        if sum(counts) >= 2**31:
            raise ConfigError(
                f"data.keep_on_device: {source!r} has {sum(counts):,} pixels, and at "
                "most 2,147,483,647 can be numbered; set it to false"
            )
        pixels = [photo.reshape(-1, 3) for photo in photos]
        self.pixels = jax.device_put(np.concatenate(pixels))

    def require_size(self, image_size: int) -> None:
        """Refuse crops that would need a photo to be enlarged."""
        for index, shape in self.shapes.items():
            if min(shape) < image_size:
                raise ConfigError(
                    f"data.keep_on_device takes photos of at least {image_size} x "
                    f"{image_size} pixels, got {shape[0]} x {shape[1]} for "
                    f"{self.source.name(index)}; set it to false"
                )


class ResidentLoader:
    """The batches of `make_loader(crop="random", shuffle=True)`, images on the device.

    An endless iterator; the same bytes as from the host.

    Args:
      photos: to crop.
      batch_size: photos of a batch.
      image_size: side S of the crops in pixels; no photo may be smaller.
      seed: of orders and crops.
      first_example: number of examples to skip before the first batch.
      start: number of batches to skip.
    """

    def __init__(
        self,
        photos: ResidentPhotos,
        *,
        batch_size: int,
        image_size: int,
        seed: int,
        first_example: int = 0,
        start: int = 0,
    ):
        photos.require_size(image_size)
        self._photos, self._size, self._batch_size = photos, image_size, batch_size
        self._next = first_example + start * batch_size
        self._stream = ExampleStream(
            photos.source,
            photos.indices,
            crop=make_crop("random", image_size),
            make_example=None,
            seed=seed,
            shuffle=True,
            num_epochs=None,
            batch_size=batch_size,
        )
        self.broken: dict[str, str] = {}  # all photos were read before

    def __next__(self) -> dict[str, np.ndarray | jax.Array]:
        """The next batch."""
        examples = range(self._next, self._next + self._batch_size)
        self._next = examples.stop
        indices = [self._stream.photo_number(k) for k in examples]
        first, widths = [], []
        for k, index in zip(examples, indices, strict=True):
            height, width = self._photos.shapes[index]
            generator = self._stream.crop_generator(k)
            top, left = random_corner(height, width, self._size, generator)
            first.append(self._photos.offsets[index] + top * width + left)
            widths.append(width)
        corners = np.array([first, widths], np.int32)
        return {
            "image": _gather(self._photos.pixels, corners, size=self._size),
            "index": np.array(indices, np.int32),
            "mask": np.ones(len(indices), bool),
        }

    def __iter__(self) -> Self:
        return self

    def close(self) -> None:
        """Nothing is left to stop."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        pass


@functools.partial(jax.jit, static_argnames="size")
def _gather(pixels, corners, *, size):
    """(count, 3) pixels and (2, n) first pixels and widths -> (n, size, size, 3)."""
    first, widths = (array[:, None, None] for array in corners)
    rows, columns = jnp.arange(size)[:, None], jnp.arange(size)
    return pixels[first + rows * widths + columns]
