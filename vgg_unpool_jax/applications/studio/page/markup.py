"""HTML of pictures: before and after, figures side by side, one magnifier for all.

What moves is in `studio.js`, how it looks in `studio.css`. All texts are escaped.
"""

import html
import pathlib
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """A picture with a caption.

    Attributes:
      path: of the file that is shown.
      caption: below it.
      alt: what it shows, for those who do not see it.
      size: height and width in pixels.
    """

    path: pathlib.Path
    caption: str
    alt: str
    size: tuple[int, int]


def address(path: pathlib.Path) -> str:
    """Where the page finds a file of a session."""
    return "gradio_api/file=" + urllib.parse.quote(str(path))


def before_after(before: Figure, after: Figure) -> str:
    """Two pictures of one size on top of each other, with a slider between them."""
    height, width = after.size
    return (
        f'<figure class="vs" style="--split: 50%; --ratio: {width / height:.4f}">'
        '<div class="vs-frame">'
        f"{_image(after, 'vs-after')}{_image(before, 'vs-before')}"
        f'<span class="vs-label vs-left">{html.escape(before.caption)}</span>'
        f'<span class="vs-label vs-right">{html.escape(after.caption)}</span>'
        '<span class="vs-line" aria-hidden="true"></span>'
        '<input type="range" min="0" max="100" step="1" value="50" aria-label="Percent '
        f"of {html.escape(before.caption)} shown, the rest is "
        f'{html.escape(after.caption)}"></div></figure>'
    )


def figures(found: Sequence[Figure], *, magnified: bool = False) -> str:
    """Pictures side by side, as many in a row as there is room for.

    Args:
      found: the pictures.
      magnified: whether one magnifier shows the same place of all.
    """
    panes = []
    for figure in found:
        inner = _image(figure)
        if magnified:
            label = html.escape(f"Magnifier of {figure.caption}: arrow keys move it")
            inner = (
                f'<div class="pane" tabindex="0" role="group" aria-label="{label}">'
                f'{inner}<span class="glass" aria-hidden="true"></span></div>'
            )
        caption = html.escape(figure.caption)
        panes.append(f"<figure>{inner}<figcaption>{caption}</figcaption></figure>")
    kind = "figures magnified" if magnified else "figures"
    return f'<div class="{kind}">{"".join(panes)}</div>'


def strip(found: Sequence[Figure]) -> str:
    """Pictures in one row that scrolls."""
    return (
        '<div class="strip" tabindex="0" role="group" aria-label="Pictures in a row, '
        f'arrow keys scroll">{figures(found)}</div>'
    )


def facts(values: Mapping[str, str]) -> str:
    """Names and values in one line."""
    parts = [
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in values.items()
    ]
    return f'<dl class="facts">{"".join(parts)}</dl>'


def notes(sentences: Sequence[str]) -> str:
    """Sentences for the user."""
    return "".join(f'<p class="note">{html.escape(text)}</p>' for text in sentences)


def _image(figure: Figure, name: str = "") -> str:
    alt, source = html.escape(figure.alt), html.escape(address(figure.path))
    height, width = figure.size
    return (
        f'<img class="{name}" src="{source}" alt="{alt}" width="{width}" '
        f'height="{height}" draggable="false">'
    )
