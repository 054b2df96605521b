"""Scores of style transfer as a table, a plot and captions of pictures."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vgg_unpool_jax.applications.stylization.metrics import DISTANCES
from vgg_unpool_jax.applications.stylization.photo_pairs import StyleScore
from vgg_unpool_jax.evaluation.pictures import contact_sheet, save_jpeg, save_png
from vgg_unpool_jax.io.atomic import replacing

# Style taken in one number: the mean over these blocks of the covariance's reduction.
STYLE_BLOCKS = (1, 2, 3, 4)

_PAGE_ROWS = 12
_TARGET_FORMS = {
    "psnr": "{:.2f}",
    "ssim": "{:.4f}",
    "delta_e": "{:.2f}",
    "lpips": "{:.4f}",
}

_MARKERS = "osD^vP*X<>"
_COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"),
    *("#e377c2", "#bcbd22", "#17becf", "#000000"),
)


class StylePoint(NamedTuple):
    """One point of the plot: the label, structure kept and style taken."""

    label: str
    edge_ssim: float
    style: float


def style_taken(score: StyleScore, *, by_region: bool = False) -> float:
    """Mean reduction of the covariance distance over `STYLE_BLOCKS`.

    Args:
      score: of one result.
      by_region: of its regions; NaN for a pair without masks.
    """
    reductions = score.regions if by_region else score.whole
    if reductions is None:
        return math.nan
    return float(np.mean([reductions[block]["covariance"] for block in STYLE_BLOCKS]))


def _by_method(scores: Sequence[StyleScore]) -> dict[str, list[StyleScore]]:
    if not scores:
        raise ValueError("scores is empty, expected at least one")
    methods = {}
    for score in scores:
        methods.setdefault(score.method, []).append(score)
    return methods


def style_points(scores: Sequence[StyleScore]) -> list[StylePoint]:
    """One point per method, the means over its pairs; in the order of the scores."""
    return [
        StylePoint(
            method,
            float(np.mean([score.edge_ssim for score in own])),
            float(np.mean([style_taken(score) for score in own])),
        )
        for method, own in _by_method(scores).items()
    ]


def style_table(scores: Sequence[StyleScore]) -> str:
    """Markdown: a table of means per method, and one of every pair.

    Reductions are in per cent of the content's distance to the style; "by region" are
    those of the regions with equal labels. Means are over the pairs that a method has
    results for; by region, over those with masks.
    """
    methods = _by_method(scores)
    blocks = sorted(scores[0].whole)
    names = [f"{kind} {block}" for kind in DISTANCES for block in blocks]
    tables = []
    for title, by_region in (("Whole photos", False), ("By region", True)):
        rows = []
        for method, own in methods.items():
            parts = [s.regions if by_region else s.whole for s in own]
            parts = [part for part in parts if part is not None]
            if not parts:
                continue
            means = [
                np.mean([part[block][kind] for part in parts])
                for kind in DISTANCES
                for block in blocks
            ]
            known = [s for s in own if not by_region or s.regions is not None]
            shown = [f"{np.mean([s.edge_ssim for s in known]):.3f}"]
            shown += [f"{np.mean([s.sobel_ssim for s in known]):.3f}"]
            distances = [
                s.lab_distance_by_region if by_region else s.lab_distance for s in known
            ]
            shown += [f"{np.mean(distances):.2f}"]
            if not by_region:
                shown += [f"{np.mean([s.histogram_correlation for s in own]):.2f}"]
            perceptual = [s.lpips for s in known if s.lpips is not None]
            shown += [f"{np.mean(perceptual):.3f}" if perceptual else "-"]
            rows.append([method, str(len(parts)), *shown, *map(_percent, means)])
        if rows:
            head = ["method", "pairs", "edge SSIM", "Sobel SSIM", "Lab distance"]
            head += [] if by_region else ["histograms"]
            head += ["LPIPS to the photo", *names]
            tables.append(f"## {title}, means\n\n{_markdown(head, rows)}")
    tables += _target_table(methods) + _time_table(methods)
    rows = [
        [
            score.pair,
            score.method,
            f"{score.edge_ssim:.3f}",
            f"{score.sobel_ssim:.3f}",
            f"{score.lab_distance:.2f}",
            _percent(style_taken(score)),
            _percent(style_taken(score, by_region=True)),
            *(_percent(score.whole[block]["covariance"]) for block in blocks),
        ]
        for score in sorted(scores, key=lambda score: score.pair)
    ]
    span = f"{STYLE_BLOCKS[0]}-{STYLE_BLOCKS[-1]}"
    head = ["pair", "method", "edge SSIM", "Sobel SSIM", "Lab distance"]
    head += [f"covariance {span}", f"{span} by region"]
    head += [f"covariance {block}" for block in blocks]
    tables.append(f"## Every pair\n\n{_markdown(head, rows)}")
    return "\n\n".join(tables) + "\n"


def _target_table(methods) -> list[str]:
    rows = []
    for method, own in methods.items():
        known = [score.target for score in own if score.target is not None]
        if known:
            row = [method, str(len(known))]
            for name, form in _TARGET_FORMS.items():
                values = [found[name] for found in known if found[name] is not None]
                row.append(form.format(np.mean(values)) if values else "-")
            rows.append(row)
    head = ["method", "pairs", "PSNR, dB", "SSIM", "ΔE", "LPIPS"]
    return [f"## Beside the targets, means\n\n{_markdown(head, rows)}"] if rows else []


def _time_table(methods) -> list[str]:
    rows = []
    for method, own in methods.items():
        seconds = [score.seconds for score in own if score.seconds is not None]
        if seconds:
            rows.append([method, f"{np.median(seconds):.2f}"])
    head = ["method", "seconds a megapixel, median"]
    return [f"## Time\n\n{_markdown(head, rows)}"] if rows else []


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rules = ["---"] * len(head)
    # A bar in a name would begin a cell.
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, rules, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _is_right_beside(point: StylePoint, other: StylePoint) -> bool:
    """Whether the number of a point would cover another one."""
    right = other.style - point.style
    return 0 < right < 0.015 and abs(other.edge_ssim - point.edge_ssim) < 0.03


def plot_structure_against_style(
    points: Sequence[StylePoint], path: str | os.PathLike
) -> np.ndarray:
    """Draw methods as numbered points; up and to the right is better.

    Args:
      points: style taken to the right, edge SSIM upwards; those with NaN are refused.
      path: PNG file.

    Returns:
      uint8 (600, 1000, 3), as written.
    """
    if not points or not np.isfinite([point[1:] for point in points]).all():
        raise ValueError(f"points must be one or more, all finite, got {points}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((10, 6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    handles = []
    for i, point in enumerate(points):
        colour = _COLOURS[i % len(_COLOURS)]
        marker = _MARKERS[i // len(_COLOURS) % len(_MARKERS)]
        position = 100 * point.style, point.edge_ssim
        handles.append(
            axes.scatter(*position, s=50, c=[colour], marker=marker, zorder=3)
        )
        on_left = any(_is_right_beside(point, other) for other in points)
        axes.annotate(
            str(i + 1),
            position,
            (-5 if on_left else 5, 4),
            textcoords="offset points",
            horizontalalignment="right" if on_left else "left",
            zorder=4,
        )
    legend = axes.legend(
        handles,
        [str(i) for i in range(len(points))],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
    )
    for i, (text, point) in enumerate(zip(legend.get_texts(), points, strict=True)):
        text.set_parse_math(False)
        text.set_text(f"{i + 1}  {point.label}")
    span = f"{STYLE_BLOCKS[0]} to {STYLE_BLOCKS[-1]}"
    axes.set_xlabel(
        f"style taken: covariance distance of whole photos less, blocks {span}, %"
    )
    axes.set_ylabel("structure kept: SSIM of edges")
    axes.margins(0.1)
    axes.grid(color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.canvas.draw()
    picture = np.array(figure.canvas.buffer_rgba())[..., :3]
    save_png(path, picture)
    return picture


def write_report(
    scores: Sequence[StyleScore],
    pictures: Mapping[str, Mapping[str, np.ndarray]],
    folder: pathlib.Path,
) -> str:
    """Write table.md, plot.png and page.jpg, which shows at most 12 pairs.

    Args:
      scores: of all pairs and methods.
      pictures: (h, w, 3) by pair and method.
      folder: where to write.

    Returns:
      The table.
    """
    table = style_table(scores)
    with replacing(folder / "table.md") as file:
        file.write(table.encode())
    plot_structure_against_style(style_points(scores), folder / "plot.png")
    shown = {name: pictures[name] for name in list(pictures)[:_PAGE_ROWS]}
    page = contact_sheet(shown, titles=captions(scores))
    save_jpeg(folder / "page.jpg", page, max_bytes=4_000_000)
    return table


def score_record(score: StyleScore) -> dict:
    """The score for `write_results`, whose keys are text."""
    record = dataclasses.asdict(score)
    for name in ("whole", "regions"):
        if record[name] is not None:
            record[name] = {str(block): v for block, v in record[name].items()}
    return record


def captions(scores: Sequence[StyleScore]) -> dict[tuple[str, str], str]:
    """Captions of the pictures on the page, by pair and method."""
    return {
        (score.pair, score.method): f"{score.method}  edges {score.edge_ssim:.2f}  "
        f"style {_percent(style_taken(score))}"
        for score in scores
    }
