"""Tables of restorers over whole damaged photos.

Every method sees the same damaged photos. Its results are clipped and rounded to uint8,
as saved pictures are, before they are measured.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from vgg_unpool_jax.data import Source, make_source, source_files
from vgg_unpool_jax.data.damage import Damage, Damaged, make_damage
from vgg_unpool_jax.data.examples import example_generator
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation.metrics import METRICS, photo_psnr, photo_ssim
from vgg_unpool_jax.evaluation.pictures import contact_sheet, save_jpeg
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.evaluation.statistics import Summary, interval_text, summarize
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.losses import WINDOW_SIZE
from vgg_unpool_jax.ops.lab import luma
from vgg_unpool_jax.releases.file import without_folders

# The damaged photo itself.
DAMAGED = "damaged"
_FILES = ("results.json", "table.md", "page.jpg")
_PAGE_HEIGHT = 320
_HEAD = ["method", "PSNR, dB", "95 % interval", "SSIM", "95 % interval", "photos"]
# A damaged photo -> (h, w, 3) in [0, 255].
Method = Callable[[Damaged], np.ndarray]
_MEASURES = {"psnr": jax.jit(photo_psnr), "ssim": jax.jit(photo_ssim)}


@dataclasses.dataclass(frozen=True, eq=False)
class RestorationScore:
    """How close the results of all methods are to one photo.

    Attributes:
      photo: its name.
      noise: see `Damaged`.
      quality: see `Damaged`.
      metrics: "psnr" in dB and "ssim" by method; the latter is left out of photos that
        are smaller than its window.
      pictures: by method, and "photo", uint8 (h, w, 3).
    """

    photo: str
    noise: float
    quality: float
    metrics: dict[str, dict[str, float]]
    pictures: dict[str, np.ndarray]

    def numbers(self) -> "RestorationScore":
        """The same without pictures."""
        return dataclasses.replace(self, pictures={})

    def describe(self) -> str:
        """One line for people."""
        found = ", ".join(
            f"{method} {metrics['psnr']:.2f}"
            for method, metrics in self.metrics.items()
        )
        return f"{self.photo} PSNR {found} dB"


def score_photos(
    methods: Mapping[str, Method],
    source: Source,
    damage: Damage,
    *,
    seed: int = 0,
    gray: bool = False,
) -> Iterator[RestorationScore]:
    """Damage, restore and measure photos one by one.

    Args:
      methods: by name, beside the damaged photo itself.
      source: the photos, all of them.
      damage: drawn for each photo from the seed and its number.
      seed: of the damage.
      gray: reduce photos that have colour to their luma first, in [16, 235] as in
        published tables; their noise is one field for all channels, and results are
        reduced to the mean of their channels before they are measured.

    Raises:
      PhotoError: by the iterator, for a photo that cannot be read.
    """
    methods = {DAMAGED: lambda damaged: damaged.photo, **methods}
    for number in range(len(source)):
        photo = source[number]
        if gray:
            photo = _luma(photo)
        damaged = damage(photo, example_generator(seed, number))
        if gray:
            # One field of noise, not the mean of three.
            one = np.repeat(damaged.photo[..., :1], 3, axis=-1)
            damaged = damaged._replace(photo=one)
        pictures = {"photo": photo}
        for name, method in methods.items():
            restored = np.asarray(method(damaged), np.float32)
            if restored.shape != photo.shape:
                raise PhotoError(
                    f"{source.name(number)}: {name} made {restored.shape} of a photo "
                    f"of {photo.shape}"
                )
            pictures[name] = (
                _equal_channels(restored.mean(-1)) if gray else _rounded(restored)
            )
        metrics = {name: _measure(pictures[name], photo) for name in methods}
        yield RestorationScore(
            source.name(number), damaged.noise, damaged.quality, metrics, pictures
        )


def summarize_scores(
    scores: Sequence[RestorationScore],
) -> dict[str, dict[str, Summary]]:
    """Means over photos, by method and metric."""
    return {
        method: {
            name: summarize(
                [score.metrics[method][name] for score in scores], METRICS[name].bounds
            )
            for name in _MEASURES
            if all(name in score.metrics[method] for score in scores)
        }
        for method in scores[0].metrics
    }


def restoration_table(summaries: Mapping[str, Mapping[str, Summary]]) -> str:
    """Markdown: a row for each method."""
    return markdown_table([_HEAD, *_rows(summaries)])


def _rows(summaries) -> list[list[str]]:
    rows = []
    for method, metrics in summaries.items():
        cells = [method]
        for name in _MEASURES:
            found, decimals = metrics.get(name), METRICS[name].decimals
            if found is None:
                cells += ["", ""]
                continue
            interval = interval_text(found.interval, found.photos, decimals)
            cells += [f"{found.mean:.{decimals}f}", interval]
        rows.append([*cells, str(metrics["psnr"].photos)])
    return rows


def report_folders(
    folder: str | os.PathLike, photos: Sequence[str], damages: Sequence[str]
) -> dict[tuple[str, str], pathlib.Path]:
    """Where the reports of photos (sources) with damages (specs) are written.

    Of one such pair it is the folder itself, of several one folder each in it.
    """
    pairs = [(source, damage) for source in photos for damage in damages]
    if len(pairs) == 1:
        return {pairs[0]: to_path(folder)}
    return {
        pair: to_path(folder)
        / re.sub(r"[^\w.]+", "-", "-".join(map(without_folders, pair)))
        for pair in pairs
    }


def check_reports(
    folders: Mapping[tuple[str, str], pathlib.Path], reads: Sequence[pathlib.Path]
) -> None:
    """Refuse, before any work, what cannot be measured or written.

    Args:
      folders: of `report_folders`.
      reads: other files that are read.
    """
    reads = list(reads)
    for photos, damage in folders:
        make_damage(damage)
        reads += source_files(make_source(photos))
    check_outputs(
        [
            output_folder(folder) / name
            for folder in folders.values()
            for name in _FILES
        ],
        reads,
    )


def write_reports(
    folders: Mapping[tuple[str, str], pathlib.Path],
    methods: Mapping[str, Method],
    *,
    seed: int,
    gray: bool,
    pictures: int,
    progress: Callable[[str], None],
) -> str:
    """Score photos with damages and write results.json, table.md and page.jpg of each.

    Args:
      folders: of `report_folders`.
      methods: by name.
      seed: see `score_photos`.
      gray: see `score_photos`.
      pictures: number of photos on a page; with 0 there is none.
      progress: gets a line for each photo.

    Returns:
      One table of them all, a row for each method.
    """
    rows = []
    for (photos, damage), folder in folders.items():
        source, scores = make_source(photos), []
        for score in score_photos(
            methods, source, make_damage(damage), seed=seed, gray=gray
        ):
            scores.append(score if len(scores) < pictures else score.numbers())
            progress(f"[{len(scores)}/{len(source)}] {score.describe()}")
        facts = {"photos": photos, "damage": damage, "seed": seed, "gray": gray}
        summaries = _write_report(folder, scores, facts)
        label = f"{without_folders(photos)}, {damage}{', luma' if gray else ''}"
        rows += [[label, *row] for row in _rows(summaries)]
    return markdown_table([["photos, damage", *_HEAD], *rows])


def _write_report(folder, scores, facts) -> dict[str, dict[str, Summary]]:
    summaries = summarize_scores(scores)
    with replacing(folder / "table.md") as file:
        file.write(f"{restoration_table(summaries)}\n".encode())
    photos = [
        {
            name: getattr(score, name)
            for name in ("photo", "noise", "quality", "metrics")
        }
        for score in scores
    ]
    record = {**facts, "metrics": summaries, "scores": photos}
    write_results(folder / "results.json", {**record, **provenance(dict(facts))})
    shown = {score.photo: score.pictures for score in scores if score.pictures}
    if shown:
        titles = {
            (score.photo, method): f"{method} {metrics['psnr']:.2f} dB"
            for score in scores
            for method, metrics in score.metrics.items()
        }
        page = contact_sheet(shown, titles=titles, height=_PAGE_HEIGHT)
        save_jpeg(folder / "page.jpg", page, max_bytes=4_000_000)
    return summaries


def _measure(picture: np.ndarray, photo: np.ndarray) -> dict[str, float]:
    names = [
        name
        for name in _MEASURES
        if name != "ssim" or min(photo.shape[:2]) >= WINDOW_SIZE
    ]
    return {
        name: float(_MEASURES[name](picture[None], photo[None])[0]) for name in names
    }


def _luma(photo: np.ndarray) -> np.ndarray:
    if (photo == photo[..., :1]).all():
        return photo
    return _equal_channels(luma(photo))


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _equal_channels(values: np.ndarray) -> np.ndarray:
    return np.repeat(_rounded(values)[..., None], 3, axis=-1)
