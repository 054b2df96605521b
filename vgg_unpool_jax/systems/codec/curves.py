"""Tables and plots of rate-distortion curves."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from vgg_unpool_jax.evaluation.metrics import METRICS, PERCEPTUAL_METRICS
from vgg_unpool_jax.evaluation.pictures import save_png
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.systems.codec.rate_distortion import Point, bd_rate

# (compression ratio, PSNR in dB) of JPEG and JPEG 2000 as digitised by the program
# facecompressor from figure 10 of Ebrahimi et al., "JPEG vs. JPEG 2000: an objective
# comparison of image encoding quality", 2004: other photos than those of a report.
EBRAHIMI = {
    "JPEG": (
        *((3.46, 51.17), (4.62, 47.92), (6.17, 44.61), (7.90, 42.40), (8.87, 40.77)),
        *((9.83, 39.59), (14.62, 36.06), (18.64, 34.21), (22.47, 33.03)),
        *((25.72, 32.15), (30.11, 31.41), (36.41, 30.38), (49.02, 29.05)),
        (83.96, 26.77),
    ),
    "JPEG 2000": (
        *((3.65, 51.02), (4.81, 48.66), (9.82, 41.00), (19.97, 35.54), (29.91, 32.89)),
        *((40.04, 31.19), (49.97, 30.01), (60.09, 29.13), (70.01, 28.46)),
        *((79.94, 27.87), (90.06, 27.43), (100.18, 27.06)),
    ),
}
_BITS = 24  # of a pixel without compression

# Rates at which tables give the quality, in bits per pixel.
_RATES = (0.25, 0.5, 1.0, 1.5, 2.0)


def quality_at(points: Sequence[Point], rate: float, metric: str) -> float | None:
    """Quality at bits per pixel of whole files, linear in their logarithm."""
    pairs = sorted((point.bits_per_pixel, point.quality(metric)) for point in points)
    rates, values = (np.asarray(part) for part in zip(*pairs, strict=True))
    if not rates[0] <= rate <= rates[-1]:
        return None
    return float(np.interp(np.log(rate), np.log(rates), values))


def bd_rates(
    measured: Mapping[str, Sequence[Point]], metric: str = "psnr"
) -> dict[str, dict]:
    """BD-rates of the first method against the others, in percent."""
    first, *others = measured
    return {
        name: {
            "whole_files": bd_rate(measured[first], measured[name], metric=metric),
            "payload": bd_rate(
                measured[first], measured[name], payload=True, metric=metric
            ),
        }
        for name in others
    }


def numbers(
    measured: Mapping[str, Sequence[Point]], metrics: Sequence[str]
) -> dict[str, dict]:
    """All points, and BD-rates by each metric, for a file of results."""
    points = {
        name: [dataclasses.asdict(point) for point in curve]
        for name, curve in measured.items()
    }
    rates = {metric: bd_rates(measured, metric) for metric in metrics}
    return {"curves": points, "bd_rates": rates}


def table(measured: Mapping[str, Sequence[Point]], metric: str = "psnr") -> str:
    """Quality at some rates, BD-rates of the first method, and times, in Markdown.

    Args:
      measured: points by the name of the method.
      metric: see `Point.quality`.
    """
    info = (METRICS | PERCEPTUAL_METRICS)[metric]
    first, against = next(iter(measured)), bd_rates(measured, metric)
    head = (
        "codec",
        *(f"{info.title} at {rate:g} bpp" for rate in _RATES),
        f"BD-rate of {first}",
        "without containers",
        "s/MP to compress",
        "to decompress",
    )
    rows = []
    for name, points in measured.items():
        rates = against.get(name, {"whole_files": None, "payload": None})
        times = (
            np.mean([getattr(point, field) for point in points])
            for field in ("compress_seconds", "decompress_seconds")
        )
        qualities = (quality_at(points, rate, metric) for rate in _RATES)
        rows.append(
            (
                name,
                *(_text(value, f".{info.decimals}f") for value in qualities),
                _text(rates["whole_files"], "+.1f", " %"),
                _text(rates["payload"], "+.1f", " %"),
                *(f"{value:.2f}" for value in times),
            )
        )
    return markdown_table([head, *rows])


def plot(
    measured: Mapping[str, Sequence[Point]],
    path: str | os.PathLike,
    *,
    published: bool = False,
) -> None:
    """Draw PSNR over bits per pixel of whole files, into a PNG file.

    Args:
      measured: points by the name of the method.
      path: of the file.
      published: draw the curves of `EBRAHIMI` too.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9, 6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(measured.items()):
        pairs = sorted((point.bits_per_pixel, point.psnr) for point in points)
        width = 1.5 if number else 3.0
        axes.plot(*zip(*pairs, strict=True), marker="o", label=name, linewidth=width)
    for name, pairs in EBRAHIMI.items() if published else ():
        points = [(_BITS / ratio, psnr) for ratio, psnr in pairs]
        label = f"{name}, other photos (Ebrahimi et al. 2004)"
        axes.plot(*zip(*points, strict=True), linestyle=":", label=label)
    largest = max(point.bits_per_pixel for point in measured[next(iter(measured))])
    axes.set_xlim(0, 1.1 * largest)
    shown = [
        point.psnr
        for points in measured.values()
        for point in points
        if point.bits_per_pixel <= 1.1 * largest
    ]
    axes.set_ylim(min(shown) - 1, max(shown) + 1)
    axes.set_xlabel("bits per pixel of the whole file")
    axes.set_ylabel("PSNR of RGB in dB, mean over photos")
    axes.grid(alpha=0.3)
    axes.legend()
    canvas.draw()
    save_png(path, np.asarray(canvas.buffer_rgba())[..., :3])


def _text(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
