"""Batches of crops for training and evaluation, read ahead and resumable at any batch.

A batch is a dict of host arrays:

| key | array | |
|---|---|---|
| `image` | uint8 (n, S, S, 3) | RGB crops; zeros where `mask` is False |
| others | (n, ...) | what `make_example` adds; zeros where `mask` is False |
| `index` | int32 (n,) | number of the photo in the source; -1 for padding |
| `mask` | bool (n,) | False for padding and for unreadable or too small photos |
"""

import weakref
from collections.abc import Callable, Sequence

import grain
import numpy as np
from absl import logging

from vgg_unpool_jax.data import reader_processes
from vgg_unpool_jax.data.crops import check_crop, make_crop
from vgg_unpool_jax.data.decode import shown_name
from vgg_unpool_jax.data.examples import Example, ExampleStream
from vgg_unpool_jax.data.sources import Source
from vgg_unpool_jax.errors import BrokenPhotosError, ConfigError, SourceError

__all__ = ["BrokenPhotosError", "Loader", "make_loader"]

# Number of names in an error message.
_NAMES_SHOWN = 5


def make_loader(
    source: Source,
    indices: np.ndarray,
    *,
    batch_size: int,
    image_size: int,
    crop: str,
    seed: int,
    shuffle: bool,
    num_epochs: int | None,
    make_example: Callable | None = None,
    first_example: int = 0,
    start: int = 0,
    num_workers: int = 0,
    num_threads: int = 2,
    prefetch: int = 2,
    process_index: int = 0,
    process_count: int = 1,
    max_broken_share: float = 0.01,
    named: set[str] | None = None,
) -> "Loader":
    """Build a loader over some photos of a source.

    The batches depend only on the source, `indices`, `batch_size`, `image_size`,
    `crop`, `seed`, `shuffle`, `num_epochs`, `first_example` and `start`, and not on the
    number of workers, threads, processes or batches read ahead.

    Args:
      source: the photos.
      indices: of the photos to use, integers of shape (count,).
      batch_size: images of one batch over all processes together.
      image_size: side S of the crops in pixels.
      crop: `center_resize`, `center_resize:375`, `random`, `random_resize:0.5`,
        `center` or `whole`, see `data/crops.py`. Photos that are too small for `center`
        have mask False and are named in `Loader.too_small`. With `whole`, photos have
        their own shapes, `batch_size` is 1 and `image_size` has no effect.
      seed: seed of epoch orders and random crops, not negative.
      shuffle: True (training): every epoch in a new order; a broken photo is replaced
        by the next readable one. False (evaluation): in the order of `indices`; a
        broken photo has mask False.
      num_epochs: number of passes over the photos; None for an endless loader. The last
        batch is padded with mask False.
      make_example: (crop, random generator) -> arrays of an example, "image" among
        them; see `ExampleStream`. None for the crop alone. Reader processes need one
        that can be pickled.
      first_example: number of examples to skip before the first batch; only for endless
        loaders.
      start: number of (global) batches to skip: `Loader.position` of the resumed run.
      num_workers: reader processes; 0 reads in threads of this process. Workers pass
        their batches in shared memory (/dev/shm), which containers may limit.
      num_threads: reader threads, of every reader process; 0 reads on demand.
      prefetch: batches to read ahead, in every reader process.
      process_index: number of this JAX process.
      process_count: number of JAX processes; process p of P gets p, p+P, ... of every
        batch.
      max_broken_share: share of `indices` that may be broken before the run stops.
      named: broken photos that have been logged; loaders of the same photos share it,
        so that each is logged once. None for an empty set.

    Returns:
      A `Loader` that delivers batches of `batch_size // process_count` images.

    Raises:
      SourceError: there is no photo, or an index lies outside the source.
      ConfigError: another argument is out of range; the message names it.
    """
    _check_arguments(
        batch_size=batch_size,
        image_size=image_size,
        crop=crop,
        seed=seed,
        num_epochs=num_epochs,
        first_example=first_example,
        start=start,
        num_workers=num_workers,
        num_threads=num_threads,
        prefetch=prefetch,
        process_index=process_index,
        process_count=process_count,
        max_broken_share=max_broken_share,
    )
    indices = _checked_indices(source, indices)
    stream = ExampleStream(
        source,
        indices,
        crop=make_crop(crop, image_size),
        make_example=make_example,
        seed=seed,
        shuffle=shuffle,
        num_epochs=num_epochs,
        batch_size=batch_size,
    )
    num_batches = None if num_epochs is None else len(stream) // batch_size
    if num_batches is not None and start > num_batches:
        raise ValueError(
            f"start must be at most {num_batches}, the number of batches, got {start}"
        )
    first = first_example + start * batch_size
    share = slice(first + process_index, None, process_count)
    batches = _read_ahead(
        stream, share, batch_size // process_count, num_workers, num_threads, prefetch
    )
    return Loader(
        batches,
        source,
        count=len(indices),
        start=start,
        num_batches=num_batches,
        replaces_broken=shuffle,
        in_shared_memory=num_workers > 0,
        max_broken_share=max_broken_share,
        named=set() if named is None else named,
    )


def _read_ahead(
    stream: ExampleStream,
    share: slice,
    batch_size: int,
    num_workers: int,
    num_threads: int,
    prefetch: int,
) -> grain.IterDataset:
    reader_processes.let_grain_read_its_flags()
    # Batches are formed before the data set is divided among readers, so that their
    # content does not depend on the number of readers.
    batches = (
        grain.MapDataset.source(stream)
        .slice(share)
        .batch(batch_size, batch_fn=_collate)
        .to_iter_dataset(
            grain.ReadOptions(
                num_threads=num_threads,
                prefetch_buffer_size=max(prefetch, num_threads) if prefetch else 0,
            )
        )
    )
    if not num_workers:
        return batches
    return reader_processes.read_in_processes(
        batches, num_workers=num_workers, prefetch=prefetch
    )


class Loader:
    """Iterator over batches; see the module's docstring for their content.

    Built by `make_loader`. Close it when done (or use it as a context manager): that
    stops its readers.

    Attributes:
      position: number of (global) batches delivered, those before `start` included;
        `make_loader(..., start=position)` continues with the next one.
      num_batches: number of batches from the very beginning, None when endless.
      broken: name -> reason of the photos that could not be read so far.
      too_small: name -> (height, width) of the photos that crop `center` does not fit
        into so far.
    """

    def __init__(
        self,
        data_set: grain.IterDataset,
        source: Source,
        *,
        count: int,
        start: int,
        num_batches: int | None,
        replaces_broken: bool,
        in_shared_memory: bool,
        max_broken_share: float,
        named: set[str],
    ):
        self._source = source
        self._count = count
        self._replaces_broken = replaces_broken
        self._in_shared_memory = in_shared_memory
        self._max_broken_share = max_broken_share
        self._named = named
        self.position = start
        self.num_batches = num_batches
        self.broken: dict[str, str] = {}
        self.too_small: dict[str, tuple[int, int]] = {}
        # Nothing is left after the last batch; grain refuses empty data sets.
        exhausted = num_batches is not None and start >= num_batches
        self._readers = reader_processes.Readers(() if exhausted else data_set, source)
        # Readers end with the loader, and at the latest before the interpreter does.
        self._stop_readers = weakref.finalize(self, self._readers.close)

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        """The next batch."""
        batch, broken, too_small, given_up = next(self._readers)
        for index, reason in broken:
            self._note_broken(index, reason)
        for index, size in too_small:
            self.too_small[shown_name(self._source.name(index))] = tuple(size)
        if given_up and self._replaces_broken:
            raise BrokenPhotosError(
                f"no readable photo was found among those tried in "
                f"{self._source!r}; {len(self.broken)} of {self._count} are broken "
                f"so far: {self._first_names()}"
            )
        self.position += 1
        if not self._in_shared_memory:
            return batch
        # Plain arrays of this process: the memory is unlinked with grain's array.
        return {key: np.array(value) for key, value in batch.items()}

    def close(self) -> None:
        """Stop the readers. Closing twice does no harm."""
        self._stop_readers()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _note_broken(self, index: int, reason: str) -> None:
        name = shown_name(self._source.name(index))
        if name in self.broken:
            return
        self.broken[name] = reason
        if name not in self._named:
            self._named.add(name)
            logging.warning("skipped a broken photo: %s", reason)
        if len(self.broken) > self._max_broken_share * self._count:
            raise BrokenPhotosError(
                f"{len(self.broken)} of {self._count} photos in {self._source!r} are "
                f"broken, more than the allowed share of {self._max_broken_share:g}: "
                f"{self._first_names()}"
            )

    def _first_names(self) -> str:
        names = list(self.broken)
        more = ", ..." if len(names) > _NAMES_SHOWN else ""
        return ", ".join(names[:_NAMES_SHOWN]) + more


def _collate(examples: Sequence[Example]):
    """Examples -> (batch, broken, too_small, whether an example was given up)."""
    batch = {
        **{
            name: np.stack([example.arrays[name] for example in examples])
            for name in examples[0].arrays
        },
        "index": np.array([example.index for example in examples], np.int32),
        "mask": np.array([example.mask for example in examples], bool),
    }
    broken = [news for example in examples for news in example.broken]
    too_small = [
        (example.index, example.too_small)
        for example in examples
        if example.too_small is not None
    ]
    given_up = any(
        example.broken and not example.mask and example.too_small is None
        for example in examples
    )
    return batch, broken, too_small, given_up


def _checked_indices(source: Source, indices: np.ndarray) -> np.ndarray:
    indices = np.asarray(indices)
    if indices.size == 0:
        raise SourceError(
            f"there is no photo to load from {source!r}: indices is empty"
        )
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(
            f"indices must be integers of shape (count,), got shape {indices.shape} "
            f"and dtype {indices.dtype}"
        )
    if indices.min() < 0 or indices.max() >= len(source):
        raise SourceError(
            f"indices must lie in 0..{len(source) - 1} for {source!r}, got "
            f"{indices.min()}..{indices.max()}"
        )
    return indices.astype(np.int64)


def _check_arguments(**arguments) -> None:
    at_least = {
        "batch_size": 1,
        "image_size": 1,
        "seed": 0,
        "num_epochs": 1,
        "first_example": 0,
        "start": 0,
        "num_workers": 0,
        "num_threads": 0,
        "prefetch": 0,
        "process_index": 0,
        "process_count": 1,
    }
    for name, least in at_least.items():
        value = arguments[name]
        if name == "num_epochs" and value is None:
            continue
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < least:
            raise ConfigError(
                f"{name} must be a whole number, at least {least}, got {value!r}"
            )
    check_crop(arguments["crop"], allow_random=True)
    if arguments["first_example"] and arguments["num_epochs"] is not None:
        raise ConfigError("first_example must be 0 unless num_epochs is None")
    index, count = arguments["process_index"], arguments["process_count"]
    if index >= count:
        raise ConfigError(
            f"process_index must be below process_count, got {index} of {count}"
        )
    if arguments["crop"] == "whole" and arguments["batch_size"] != 1:
        raise ConfigError(
            f"batch_size must be 1 for the crop 'whole', got {arguments['batch_size']}"
        )
    if arguments["batch_size"] % count:
        raise ConfigError(
            f"batch_size {arguments['batch_size']} cannot be divided among "
            f"{count} processes (process_count)"
        )
    if not 0 <= arguments["max_broken_share"] <= 1:
        raise ConfigError(
            f"max_broken_share must lie in [0, 1], got {arguments['max_broken_share']}"
        )
