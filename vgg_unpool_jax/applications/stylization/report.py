"""Scores of style transfer as a table, a plot and a page of pictures."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vgg_unpool_jax.applications.stylization.metrics import DISTANCES
from vgg_unpool_jax.applications.stylization.photo_pairs import StyleScore
from vgg_unpool_jax.evaluation.pictures import save_jpeg, save_png

# Style taken in one number: the mean over these levels of the covariance's reduction.
STYLE_LEVELS = (1, 2, 3, 4)

_MARKERS = "osD^vP*X<>"
_COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"),
    *("#e377c2", "#bcbd22", "#17becf", "#000000"),
)
_CAPTION = 18
_GAP = 4


class StylePoint(NamedTuple):
    """One point of the plot: the label, structure kept and style taken."""

    label: str
    edge_ssim: float
    style: float


def style_taken(score: StyleScore, *, by_region: bool = False) -> float:
    """Mean reduction of the covariance distance over `STYLE_LEVELS`.

    Args:
      score: of one result.
      by_region: of its regions; NaN for a pair without masks.
    """
    reductions = score.regions if by_region else score.whole
    if reductions is None:
        return math.nan
    return float(np.mean([reductions[level]["covariance"] for level in STYLE_LEVELS]))


def _by_method(scores: Sequence[StyleScore]) -> dict[str, list[StyleScore]]:
    if not scores:
        raise ValueError("scores is empty, wanted at least one")
    methods = {}
    for score in scores:
        methods.setdefault(score.method, []).append(score)
    return methods


def style_points(scores: Sequence[StyleScore]) -> list[StylePoint]:
    """One point a method, the means over its pairs; in the order of the scores."""
    return [
        StylePoint(
            method,
            float(np.mean([score.edge_ssim for score in own])),
            float(np.mean([style_taken(score) for score in own])),
        )
        for method, own in _by_method(scores).items()
    ]


def style_table(scores: Sequence[StyleScore]) -> str:
    """Markdown: a table of means a method, and one of every pair.

    Reductions are in per cent of the content's distance to the style; "by region" are
    those of the regions with equal labels. Means are over the pairs that a method has
    results for; by region, over those with masks.
    """
    methods = _by_method(scores)
    levels = sorted(scores[0].whole)
    names = [f"{kind} {level}" for kind in DISTANCES for level in levels]
    tables = []
    for title, by_region in (("Whole photos", False), ("By region", True)):
        rows = []
        for method, own in methods.items():
            parts = [s.regions if by_region else s.whole for s in own]
            parts = [part for part in parts if part is not None]
            if not parts:
                continue
            means = [
                np.mean([part[level][kind] for part in parts])
                for kind in DISTANCES
                for level in levels
            ]
            edges = f"{np.mean([s.edge_ssim for s in own]):.3f}"
            rows.append([method, str(len(parts)), edges, *map(_percent, means)])
        if rows:
            head = ["method", "pairs", "edge SSIM", *names]
            tables.append(f"## {title}, means\n\n{_markdown(head, rows)}")
    rows = [
        [
            score.pair,
            score.method,
            f"{score.edge_ssim:.3f}",
            _percent(style_taken(score)),
            _percent(style_taken(score, by_region=True)),
            *(_percent(score.whole[level]["covariance"]) for level in levels),
        ]
        for score in sorted(scores, key=lambda score: score.pair)
    ]
    span = f"{STYLE_LEVELS[0]}-{STYLE_LEVELS[-1]}"
    head = ["pair", "method", "edge SSIM", f"covariance {span}", f"{span} by region"]
    head += [f"covariance {level}" for level in levels]
    tables.append(f"## Every pair\n\n{_markdown(head, rows)}")
    return "\n\n".join(tables) + "\n"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rules = ["---"] * len(head)
    # A bar in a name would begin a cell.
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, rules, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


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
        place = 100 * point.style, point.edge_ssim
        handles.append(axes.scatter(*place, s=50, c=[colour], marker=marker, zorder=3))
        axes.annotate(str(i + 1), place, (5, 4), textcoords="offset points")
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
    span = f"{STYLE_LEVELS[0]} to {STYLE_LEVELS[-1]}"
    axes.set_xlabel(f"style taken: covariance distance less, blocks {span}, %")
    axes.set_ylabel("structure kept: SSIM of edges")
    axes.margins(0.1)
    axes.grid(color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.canvas.draw()
    picture = np.array(figure.canvas.buffer_rgba())[..., :3]
    save_png(path, picture)
    return picture


def score_record(score: StyleScore) -> dict:
    """The score for `write_results`, whose keys are text."""
    record = dataclasses.asdict(score)
    for name in ("whole", "regions"):
        if record[name] is not None:
            record[name] = {str(level): v for level, v in record[name].items()}
    return record


def captions(scores: Sequence[StyleScore]) -> dict[tuple[str, str], str]:
    """What stands above the pictures on the page, by pair and method."""
    return {
        (score.pair, score.method): f"{score.method}  edges {score.edge_ssim:.2f}  "
        f"style {_percent(style_taken(score))}"
        for score in scores
    }


def style_page(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    path: str | os.PathLike,
    *,
    titles: Mapping[tuple[str, str], str] | None = None,
    height: int = 260,
) -> np.ndarray:
    """Write a contact sheet: a pair a row, content, style and results side by side.

    Args:
      rows: {pair: {method: (h, w, 3) in [0, 255]}}, from left to right; pictures of any
        size, reduced or enlarged to one height. A method has one column; where a pair
        lacks it, the place stays white.
      path: the JPEG file.
      titles: caption by pair and method, such as from `captions`; the method's name
        where there is none.
      height: of the pictures in pixels.

    Returns:
      uint8 (sheet height, sheet width, 3), before JPEG.
    """
    if not rows or not all(rows.values()) or height < 1:
        raise ValueError("rows must have a pair and each a picture, and height be ≥ 1")
    titles = titles or {}
    cells = {
        (pair, method): _cell(picture, titles.get((pair, method), method), pair, height)
        for pair, pictures in rows.items()
        for method, picture in pictures.items()
    }
    columns = list(dict.fromkeys(method for _, method in cells))
    widths = {c: max(cells[k].shape[1] for k in cells if k[1] == c) for c in columns}
    step = height + _CAPTION + _GAP
    size = len(rows) * step + _GAP, sum(widths.values()) + _GAP * (len(columns) + 1)
    sheet = np.full((*size, 3), 255, np.uint8)
    left = _GAP
    for column in columns:
        for row, pair in enumerate(rows):
            cell = cells.get((pair, column))
            if cell is not None:
                top = _GAP + row * step
                h, w, _ = cell.shape
                sheet[top : top + h, left : left + w] = cell
        left += widths[column] + _GAP
    save_jpeg(path, sheet, max_bytes=4_000_000)
    return sheet


def _cell(picture, caption: str, pair: str, height: int) -> np.ndarray:
    """A picture of this height under its caption."""
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"the pictures of {pair} must be RGB, got {picture.shape}")
    image = Image.fromarray(np.rint(np.clip(picture, 0, 255)).astype(np.uint8))
    width = max(1, round(height * image.width / image.height))
    cell = Image.new("RGB", (width, height + _CAPTION), "white")
    cell.paste(image.resize((width, height), Image.Resampling.LANCZOS), (0, _CAPTION))
    draw, text = ImageDraw.Draw(cell), f"{pair}  {caption}".replace("×", "x")
    for size in (12, 11, 10, 9, 8):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            break
    draw.text((0, _CAPTION // 2), text, fill="black", font=font, anchor="lm")
    return np.asarray(cell)
