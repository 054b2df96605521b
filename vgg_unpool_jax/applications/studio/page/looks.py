"""The saved looks: their thumbnails, the choice of one, and a place to save another."""

from typing import NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from vgg_unpool_jax.applications.studio.page.parts import Page

NO_LOOK = "the style photo"


class Panel(NamedTuple):
    """The components."""

    gallery: gr.Gallery
    chosen: gr.Dropdown
    name: gr.Textbox
    save: gr.Button


def panel(page: Page) -> Panel:
    """Lay them out; the value of `chosen` is `NO_LOOK` or the name of a look."""
    with gr.Accordion("Saved looks", open=False):
        gallery = gr.Gallery(
            label="Looks",
            show_label=False,
            height=140,
            interactive=False,
            allow_preview=False,
            buttons=[],
            elem_classes=["looks"],
        )
        chosen = gr.Dropdown([NO_LOOK], value=NO_LOOK, label="Take the look of")
        name = gr.Textbox(label="Name", max_length=60)
        save = gr.Button("Save the style's look")

    def choose(event: gr.SelectData):
        names = [one.name for one in page.looks.all()]
        return names[event.index] if event.index < len(names) else gr.skip()

    private = {"api_visibility": "private", "show_progress": "hidden"}
    page.when_opened(lambda: listed(page), [gallery, chosen])
    gallery.select(choose, None, chosen, **private)
    return Panel(gallery, chosen, name, save)


def listed(page: Page) -> tuple:
    """Updates of the gallery and of the choice."""
    looks = page.looks.all()
    names = [NO_LOOK, *(look.name for look in looks)]
    thumbnails = [(_pixels(look.thumbnail), look.name) for look in looks]
    return thumbnails, gr.update(choices=names)


def _pixels(path) -> np.ndarray:
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"))
