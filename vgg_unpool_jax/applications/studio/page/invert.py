"""The tab Invert: a photo from the features of one layer after the other."""

import gradio as gr
import numpy as np

from vgg_unpool_jax.applications.studio import invert
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.jobs import Job
from vgg_unpool_jax.applications.studio.measures import measure
from vgg_unpool_jax.applications.studio.page import markup, parts
from vgg_unpool_jax.applications.studio.page.parts import Page

_ABOUT = (
    "What a layer knows of a photo: generators that were trained to invert it have its "
    "features alone; pairs also have the switches, the places of all maxima."
)


def build(page: Page) -> None:
    """Lay the tab out."""
    known = page.models.of("deepsim")
    pairs = page.models.pairs()
    titles = [one.title for one in known]
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            photo = page.photo("Photo")
            chosen = gr.CheckboxGroup(titles, value=titles[:6], label="Layers")
            beside = gr.Checkbox(bool(pairs), label="Pairs, with switches, beside them")
            actions = parts.actions("Invert", None)
        with gr.Column(scale=3, min_width=300):
            pictures = parts.result("Layer by layer")
            command = parts.command_box()
    outputs = [pictures, command]

    def run(session, job: Job, photo, chosen, beside):
        photo = parts.required(photo)
        used = [one for one in known if one.title in chosen]
        job.say(0.0, "loading the generators")
        inverters = {one.title: page.models.load(one) for one in used}
        name, html = parts.stem(photo), ""
        if used:
            found = invert.without_switches(inverters, photo.preview, job)
            figures, last = [], None
            for title, (crop, image) in found.items():
                error = f"L1 {measure(image, crop).l1:.2f}"
                pictures = [(image, f"from {title}: {error}")]
                if not np.array_equal(crop, last):
                    pictures.insert(0, (crop, "the photo's middle"))
                last = crop
                for picture, caption in pictures:
                    figures.append(
                        parts.shown(
                            session, picture, "layer", caption, f"{name}, {caption}"
                        )
                    )
            html += markup.figures(figures)
        if beside:
            loaded = {block: page.models.load(one) for block, one in pairs.items()}
            found = invert.with_switches(loaded, photo.preview, job)
            figures = [
                parts.shown(session, image, "pair", caption, f"{name}, {caption}")
                for caption, image in found.items()
            ]
            html += markup.notes(["With switches:"]) + markup.figures(figures)
        lines = [
            command_line(
                "invert", {"model": one.name, "input": photo.name, "output": "inverted"}
            )
            for one in used
        ]
        return html, "\n".join(lines)

    page.previewed(run, [photo, chosen, beside], outputs, actions, [photo.change])
