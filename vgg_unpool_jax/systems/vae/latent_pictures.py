"""Plots of a latent space: divergence of its dimensions, maps of photos.

Every function returns one uint8 RGB picture `(height, width, 3)`. The figures, the
backend and the settings of a program that uses Matplotlib itself are not changed.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_DPI = 100
_MAX_LEGEND = 12
_MAX_BARS_WITH_NUMBERS = 40
# Twelve colours that can be distinguished; grey is for dots without a label.
_CLASS_COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"),
    *("#e377c2", "#bcbd22", "#17becf", "#000000", "#ffbb78", "#1b4d3e"),
)
_NO_CLASS_COLOUR = "#b0b0b0"
_BAR_COLOUR = "#1f77b4"


@contextlib.contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """Yield a Matplotlib figure of this size in inches and its axes, without pyplot.

    Its warnings about missing letters, a font cache and a home folder that cannot be
    written to are suppressed.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure

            figure = Figure((width, height), dpi=_DPI, layout="constrained")
            FigureCanvasAgg(figure)
            yield figure, figure.add_subplot()
    finally:
        logger.setLevel(level)


def _drawn(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def _plain(text: Any, words: str) -> None:
    """Set literal text: a dollar sign in a class name does not begin a formula."""
    text.set_parse_math(False)
    text.set_text(words)


def kl_plot(
    kl: np.ndarray, *, title: str = "divergence from the prior per dimension"
) -> np.ndarray:
    """Divergence of each dimension as bars, the largest first.

    Args:
      kl: divergence of each dimension in nats, `(dimensions,)`. Up to 40 bars are
        labelled with the number of their dimension.
      title: of the plot.

    Returns:
      uint8 `(400, 800, 3)`.
    """
    kl = np.asarray(kl, np.float64)
    if kl.ndim != 1 or not kl.size or not np.isfinite(kl).all():
        raise ValueError(
            f"kl has shape {kl.shape}; expected (dimensions,), not empty, all finite."
        )
    order = np.argsort(-kl, kind="stable")
    places = np.arange(kl.size)
    with _figure(8, 4) as (figure, axes):
        numbered = kl.size <= _MAX_BARS_WITH_NUMBERS
        # Hundreds of bars have no gaps, which would cause moiré.
        axes.bar(places, kl[order], width=0.8 if numbered else 1.0, color=_BAR_COLOUR)
        if numbered:
            axes.set_xticks(places, [str(number) for number in order], fontsize=8)
            axes.set_xlabel("number of the dimension")
        else:
            axes.set_xlabel("rank of the dimension")
        axes.set_xlim(-0.7, kl.size - 0.3)
        axes.set_ylim(0, max(1e-3, 1.05 * kl.max()))
        axes.set_ylabel("nats per photo")
        axes.spines[["top", "right"]].set_visible(False)
        _plain(axes.title, f"{title} (sum {kl.sum():.2f})")
        return _drawn(figure)


def _class_order(label: str) -> tuple[bool, int, str]:
    """Sort key: numbers by their value, then words alphabetically."""
    is_number = label.isascii() and label.isdigit()
    return not is_number, int(label) if is_number else 0, label


def _scatter_classes(
    axes: Any, points: np.ndarray, labels: Sequence[str | None], size: float
) -> None:
    """Dots in the colours of their classes, those without a class below them."""
    from matplotlib import colormaps

    classes = sorted({label for label in labels if label is not None}, key=_class_order)
    with_legend = len(classes) <= _MAX_LEGEND
    colours = (
        [_CLASS_COLOURS[i] for i in range(len(classes))]
        if with_legend
        else list(colormaps["rainbow"](np.linspace(0, 1, len(classes))))
    )
    number = {name: i for i, name in enumerate(classes)}
    index = np.array([-1 if label is None else number[label] for label in labels])
    named = np.flatnonzero(index >= 0)
    unnamed = np.flatnonzero(index < 0)
    axes.scatter(*points[unnamed].T, s=size, c=_NO_CLASS_COLOUR, linewidths=0)
    # All at once in the order of the photos: drawn class by class, the last class would
    # cover the others.
    shades = [colours[i] for i in index[named]]
    axes.scatter(*points[named].T, s=size, c=shades, alpha=0.8, linewidths=0)
    if not with_legend:
        return
    entries = list(zip(classes, colours, strict=True))
    if len(unnamed):
        entries.append(("no label", _NO_CLASS_COLOUR))
    handles = [axes.scatter([], [], s=30, c=[colour]) for _, colour in entries]
    # Numbers now and names later: Matplotlib drops entries that begin with "_".
    legend = axes.legend(
        handles,
        [str(i) for i in range(len(handles))],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
    )
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        _plain(text, name if len(name) <= 24 else name[:23] + "…")


def latent_map(
    points: np.ndarray,
    labels: Sequence[str | None] | None,
    *,
    title: str,
    axis_names: tuple[str, str],
) -> np.ndarray:
    """Photos as dots in the plane, coloured by their class if they have one.

    Args:
      points: `(n, 2)`, finite: two dimensions of the latents or an embedding of them.
      labels: the class of each photo, None for a photo without; or None if no photo
        has one, which gives plain dots. Up to 12 classes have a legend; more are
        coloured by a rainbow in the order of their names (numbers by their value).
        Letters that Matplotlib's own font lacks become boxes.
      title: of the map.
      axis_names: names of the horizontal and the vertical axis.

    Returns:
      uint8 `(600, 800, 3)`. One unit is as long on both axes.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(
            f"points has shape {points.shape}; expected (n, 2), not empty."
        )
    if not np.isfinite(points).all():
        raise ValueError("points has nan or infinite values; expected finite numbers.")
    if labels is not None and len(labels) != len(points):
        raise ValueError(
            f"labels has {len(labels)} entries; expected {len(points)}, one per point."
        )
    size = float(np.clip(20_000 / len(points), 5, 36))
    with _figure(8, 6) as (figure, axes):
        if labels is None or all(label is None for label in labels):
            axes.scatter(*points.T, s=size, c=_BAR_COLOUR, alpha=0.8, linewidths=0)
        else:
            _scatter_classes(axes, points, labels, size)
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[["top", "right"]].set_visible(False)
        _plain(axes.title, title)
        _plain(axes.xaxis.label, axis_names[0])
        _plain(axes.yaxis.label, axis_names[1])
        return _drawn(figure)
