"""Suite `data`: from JPEG files to batches of crops, in images a second.

An epoch is timed from its fourth batch to its last: starting processes and filling a
pipeline do not count, and what was read ahead by then is used up. All programs may use
the same cores. None flips: ours does that on the device, as a part of the step.
"""

import contextlib
import functools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from benchmarks.harness import Candidate, Case, MismatchError, Report
from vgg_unpool_jax.data import make_crop, make_loader, make_source
from vgg_unpool_jax.data.samples import SamplesSource
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.runtime.cpu_devices import core_count

SUITE = "data"
_CROPS = ("center_resize", "random")
_SIZE, _BATCH = 256, 16
_SMALL_SIZE, _SMALL_BATCH = 32, 4
_WARM_BATCHES, _SMALL_WARM_BATCHES = 4, 1
_PILLOW, _TENSORFLOW = "Pillow, one thread", "tensorflow"
_PEERS = {_PILLOW: "pillow", _TENSORFLOW: "tensorflow"}
# Copies of each of the thirteen sample photos.
_COPIES_PER_CORE, _MOST_COPIES = 10, 160
_JPEG_QUALITY = 90
# Mean difference of the photos in grey levels: decoders round differently.
TOLERANCE = 2.0


def measure(report: Report) -> None:
    """Check and time every crop."""
    report.skip_peers(SUITE, "torch")
    settings = report.settings
    size, batch = (_SMALL_SIZE, _SMALL_BATCH) if settings.small else (_SIZE, _BATCH)
    with contextlib.ExitStack() as stack:
        folder = settings.photos
        if not folder:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            copies = min(_COPIES_PER_CORE * core_count(), _MOST_COPIES)
            write_samples(folder, 1 if settings.small else copies)
        paths = find_jpegs(folder, size, report)
        for crop in _CROPS:
            name = f"{crop}: {len(paths)} photos to {batch}×{size}²"
            if not report.wants(name):
                continue
            # Random crops differ by design; those at the centre are compared instead.
            alike = "center" if crop == "random" else crop
            pipelines = _pipelines(alike, folder, paths, size, batch, shuffle=False)
            require_alike(name, pipelines, report.peers)
            pipelines = _pipelines(crop, folder, paths, size, batch, shuffle=True)
            facts = {"photos": len(paths), "batch_size": batch, "image_size": size}
            case = Case(SUITE, name, "uint8", facts=facts)
            warm = _SMALL_WARM_BATCHES if settings.small else _WARM_BATCHES
            candidates = {
                name: Candidate(
                    functools.partial(seconds_an_image, batches, warm),
                    peer=_PEERS.get(name),
                    facts={"cores": 1 if name == _PILLOW else core_count()},
                    times_itself=True,
                )
                for name, batches in pipelines.items()
                if name != _TENSORFLOW or _TENSORFLOW in report.peers
            }
            report.time(case, candidates)
            for row in report.rows[-len(candidates) :]:
                row["images_per_second"] = 1 / row["median_seconds"]
                rate = row["images_per_second"] / row["cores"]
                row["images_per_second_and_core"] = rate


def write_samples(folder: str | os.PathLike, copies: int) -> None:
    """Write the sample photos as JPEG files, each in several copies."""
    source = SamplesSource()
    for index in range(len(source)):
        photo = Image.fromarray(source[index])
        name = pathlib.Path(source.name(index)).stem
        for copy in range(copies):
            path = pathlib.Path(folder) / f"{copy:03d}_{name}.jpg"
            photo.save(path, quality=_JPEG_QUALITY)


def find_jpegs(folder: str | os.PathLike, size: int, report: Report) -> dict[int, str]:
    """JPEG files of a folder that are large enough to cut from: number -> path.

    Smaller photos and other files, at which a plain pipeline fails, are left out for
    all programs, and the report says how many.
    """
    source = make_source(f"folder:{folder}")
    paths = {}
    for index in range(len(source)):
        path = pathlib.Path(folder) / source.name(index)
        with Image.open(path) as photo:
            if photo.format == "JPEG" and min(photo.size) >= size:
                paths[index] = str(path)
    if left_out := len(source) - len(paths):
        reason = f"{left_out} files are no JPEG or smaller than {size}×{size} pixels"
        report.skip(SUITE, "all", "photos", reason)
    if not paths:
        raise ConfigError(
            f"--photos must hold JPEG files of at least {size}×{size} pixels, and "
            f"{folder} has none"
        )
    return paths


def seconds_an_image(batches: Callable[[], Iterator[np.ndarray]], warm: int) -> float:
    """Seconds for each image of an epoch that comes after its first batches.

    Args:
      batches: begins an epoch.
      warm: number of batches that are not counted.
    """
    with contextlib.closing(batches()) as iterator:
        for _ in range(warm):
            next(iterator, None)
        images, began = 0, time.perf_counter()
        for batch in iterator:
            images += len(batch)
        if not images:
            raise ConfigError("the suite data needs more photos than these")
        return (time.perf_counter() - began) / images


def _our_batches(crop, folder, paths, size, batch, *, workers, threads, shuffle):
    with make_loader(
        make_source(f"folder:{folder}"),
        np.array(list(paths)),
        batch_size=batch,
        image_size=size,
        crop=crop,
        seed=0,
        shuffle=shuffle,
        num_epochs=1,
        num_workers=workers,
        num_threads=threads,
    ) as loader:
        for found in loader:
            yield found["image"][found["mask"]]


def _pillow_batches(crop, paths, size, batch) -> Iterator[np.ndarray]:
    """One thread, and nothing is read ahead."""
    cut = make_crop(crop, size).cut
    generator = np.random.default_rng(0)
    photos = []
    for path in paths.values():
        with Image.open(path) as photo:
            photos.append(cut(np.asarray(photo.convert("RGB")), generator))
        if len(photos) == batch:
            yield np.stack(photos)
            photos = []
    if photos:
        yield np.stack(photos)


def _tensorflow_batches(crop, paths, size, batch, shuffle) -> Iterator[np.ndarray]:
    from benchmarks import tensorflow_ops

    yield from tensorflow_ops.batches(
        paths.values(),
        crop=crop,
        size=size,
        batch_size=batch,
        cores=core_count(),
        shuffle=shuffle,
    )


def _pipelines(crop, folder, paths, size, batch, *, shuffle):
    """Functions that begin an epoch, by the name of the candidate."""
    ours = functools.partial(
        _our_batches, crop, folder, paths, size, batch, shuffle=shuffle
    )
    cores = core_count()
    return {
        "ours, threads": functools.partial(ours, workers=0, threads=cores),
        "ours, processes": functools.partial(ours, workers=cores, threads=1),
        _PILLOW: functools.partial(_pillow_batches, crop, paths, size, batch),
        _TENSORFLOW: functools.partial(
            _tensorflow_batches, crop, paths, size, batch, shuffle
        ),
    }


def require_alike(case: str, pipelines, peers) -> None:
    """Raise `MismatchError` for photos that differ by more than `TOLERANCE`."""
    ours = np.concatenate(list(pipelines["ours, threads"]()))
    for name in (_PILLOW, _TENSORFLOW) if _TENSORFLOW in peers else (_PILLOW,):
        found = np.concatenate(list(pipelines[name]()))
        if found.shape != ours.shape:
            raise MismatchError(
                f"{case}: {name} gives photos of shape {found.shape}, ours {ours.shape}"
            )
        levels = np.abs(found.astype(np.float32) - ours).mean((1, 2, 3))
        if not levels.max() < TOLERANCE:
            raise MismatchError(
                f"{case}: photo {levels.argmax()} of {name} differs from ours by "
                f"{levels.max():.1f} grey levels on average, and at most {TOLERANCE:g} "
                "is rounding"
            )
