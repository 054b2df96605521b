"""Suite `data`: from JPEG files to batches of crops, in images a second.

An epoch is timed from its fourth batch to its last: starting processes and filling a
pipeline count for nobody, and what was read ahead by then is used up. All programs may
use the same cores. Nobody flips: ours does that on the device, as a part of the step.
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

from benchmarks.checks import MismatchError
from benchmarks.peers import Peers
from benchmarks.report import Case, Report
from benchmarks.timing import Candidate
from vgg_unpool_jax.data import make_crop, make_loader, make_source
from vgg_unpool_jax.data.samples import SamplesSource
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.runtime.cpu_devices import core_count

SUITE = "data"
_CROPS = ("center_resize", "random")
_SIZE, _BATCH = 256, 16
_SMALL_SIZE, _SMALL_BATCH = 32, 4
_WARM_BATCHES, _SMALL_WARM_BATCHES = 4, 1
# Thirteen photos so many times over.
_COPIES_PER_CORE, _MOST_COPIES = 10, 160
_JPEG_QUALITY = 90
# Mean difference of the photos in grey levels: decoders round differently.
TOLERANCE = 2.0


def measure(settings, peers: Peers, report: Report) -> None:
    """Check and time every crop."""
    if "torch" in peers:
        report.skip(SUITE, "all", "torch", "the suite has no such peer")
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
            check(crop, folder, paths, size, batch, peers)
            facts = {"photos": len(paths), "batch_size": batch, "image_size": size}
            case = Case(SUITE, name, "uint8", facts=facts)
            candidates = dict(_candidates(crop, folder, paths, size, batch, peers))
            report.time(case, candidates)
            for row in report.rows[-len(candidates) :]:
                _add_rates(row)


def write_samples(folder: str | os.PathLike, copies: int) -> None:
    """Write the sample photos as JPEG files, so many times over."""
    source = SamplesSource()
    for index in range(len(source)):
        photo = Image.fromarray(source[index])
        name = pathlib.Path(source.name(index)).stem
        for copy in range(copies):
            path = pathlib.Path(folder) / f"{copy:03d}_{name}.jpg"
            photo.save(path, quality=_JPEG_QUALITY)


def find_jpegs(folder: str | os.PathLike, size: int, report: Report) -> dict[int, str]:
    """JPEG files of a folder that are large enough to cut from: number -> path.

    Smaller photos and other files, which a plain pipeline does not get over, are left
    out for all programs, and the report says how many.
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


def _add_rates(row: dict) -> None:
    """Images a second of a row, in all and for each core that the program may use."""
    rate = 1 / row["median_seconds"]
    row["images_per_second"] = rate
    row["images_per_second_and_core"] = rate / row["cores"]


def seconds_an_image(batches: Callable[[], Iterator[np.ndarray]], warm: int) -> float:
    """Seconds for each image of an epoch that comes after its first batches.

    Args:
      batches: begins an epoch.
      warm: how many batches are not counted.
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
    """One thread and nothing read ahead: what a photo costs."""
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


def _candidates(crop, folder, paths, size, batch, peers):
    cores = core_count()
    warm = _SMALL_WARM_BATCHES if size == _SMALL_SIZE else _WARM_BATCHES

    def candidate(batches, peer=None, used=cores):
        run = functools.partial(seconds_an_image, batches, warm)
        return Candidate(run, peer=peer, facts={"cores": used}, times_itself=True)

    def ours(**readers):
        return functools.partial(
            _our_batches, crop, folder, paths, size, batch, shuffle=True, **readers
        )

    yield "ours, threads", candidate(ours(workers=0, threads=cores))
    yield "ours, processes", candidate(ours(workers=cores, threads=1))
    pillow = functools.partial(_pillow_batches, crop, paths, size, batch)
    yield "Pillow, one thread", candidate(pillow, "pillow", used=1)
    if "tensorflow" in peers:
        from benchmarks import tensorflow_data

        batches = functools.partial(
            tensorflow_data.batches,
            paths.values(),
            crop=crop,
            size=size,
            batch_size=batch,
            cores=cores,
            shuffle=True,
        )
        yield "tensorflow", candidate(batches, peer="tensorflow")


def check(crop, folder, paths, size, batch, peers) -> None:
    """Raise `MismatchError` unless all pipelines give the same photos.

    Random crops differ by design; those at the centre have to do for them.
    """
    crop = "center" if crop == "random" else crop
    ours = np.concatenate(
        list(
            _our_batches(
                crop, folder, paths, size, batch, workers=0, threads=1, shuffle=False
            )
        )
    )
    others = {"Pillow, one thread": _pillow_batches(crop, paths, size, batch)}
    if "tensorflow" in peers:
        from benchmarks import tensorflow_data

        others["tensorflow"] = tensorflow_data.batches(
            paths.values(),
            crop=crop,
            size=size,
            batch_size=batch,
            cores=core_count(),
            shuffle=False,
        )
    for name, batches in others.items():
        came = np.concatenate(list(batches))
        require_alike(f"{SUITE}: {crop}", name, came, ours)


def require_alike(case: str, name: str, came: np.ndarray, ours: np.ndarray) -> None:
    """Raise `MismatchError` for photos that differ by more than `TOLERANCE`."""
    if came.shape != ours.shape:
        raise MismatchError(
            f"{case}: {name} gives photos of shape {came.shape}, ours {ours.shape}"
        )
    levels = np.abs(came.astype(np.float32) - ours).mean((1, 2, 3))
    if not levels.max() < TOLERANCE:
        raise MismatchError(
            f"{case}: photo {levels.argmax()} of {name} differs from ours by "
            f"{levels.max():.1f} grey levels on average, and at most {TOLERANCE:g} is "
            "rounding"
        )
