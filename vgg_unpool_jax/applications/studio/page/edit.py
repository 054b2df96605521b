"""The tab Edit: features and switches of one or two photos, changed."""

import gradio as gr

from vgg_unpool_jax.applications.editing import strips
from vgg_unpool_jax.applications.editing.photo_pairs import SWITCHES
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.page import markup, parts
from vgg_unpool_jax.applications.studio.page.parts import Page
from vgg_unpool_jax.applications.studio.photos import PREVIEW

_ABOUT = (
    "A pair splits a photo into features (*what*) and switches (*where*). Here one is "
    "changed and the other kept; captions have the mean absolute difference (L1) to "
    "the photo or photos."
)
_EDITS = {
    "interpolate": "interpolate between two photos",
    "swap": "swap the switches of two photos",
    "scale": "scale principal directions",
    "drop": "drop principal directions",
    "reencode": "rebuild again and again",
}
# Of scale and drop.
_FACTORS, _COUNTS = (0.0, 0.5, 1.0, 1.5, 2.0), (1, 4, 16, 64)


def build(page: Page) -> None:
    """Lay the tab out."""
    pairs = page.models.pairs()
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                photo, second = page.photo("Photo"), page.photo("Second")
            edit = gr.Dropdown(
                [(title, name) for name, title in _EDITS.items()],
                value="interpolate",
                label="Edit",
            )
            block = gr.Slider(
                min(pairs), max(pairs), value=min(4, max(pairs)), step=1, label="Block"
            )
            steps = gr.Slider(2, 8, value=5, step=1, label="Pictures")
            switches = gr.Radio(list(SWITCHES), value="nearest", label="Whose switches")
            count = gr.Slider(1, 32, value=4, step=1, label="Directions", visible=False)
            actions = parts.actions("Edit", None)
        with gr.Column(scale=3, min_width=300):
            pictures = parts.result("The edit")
            file = parts.download("Download the strip")
            command = parts.command_box()
    outputs = [pictures, file, command]

    def run(session, job, photo, second, edit, block, steps, switches, count):
        photos = [parts.required(photo)]
        if edit in strips.WITH_SECOND:
            photos.append(parts.required(second, "the second photo"))
        known = pairs[int(block)]
        pair = page.load(known, job)
        job.say(0.1, _EDITS[edit])
        channels = 64 * 2 ** min(pair.block - 1, 3)
        counts = (
            [int(count)] if edit == "scale" else [n for n in _COUNTS if n <= channels]
        )
        strip = strips.make_strip(
            edit,
            pair,
            [one.preview for one in photos],
            steps=int(steps),
            switches=switches,
            counts=counts,
            factors=_FACTORS,
        )
        job.say(0.9, "pictures")
        figures = [
            parts.shown(session, image, f"frame{number}", caption, f"{edit}: {caption}")
            for number, (caption, image) in enumerate(strip.frames.items())
        ]
        target = session.new_file(f"{parts.stem(photo)}_{edit}.png")
        strips.save_strip(target, strip)
        flags = {
            "pair": known.name,
            "edit": edit,
            "input": photo.name,
            "second": photos[1].name if len(photos) > 1 else None,
            "output": target.name,
            "steps": int(steps) if edit in ("interpolate", "reencode") else None,
            "switches": switches if edit == "interpolate" else None,
            "count": counts if edit in ("scale", "drop") else None,
            "max_side": PREVIEW,
        }
        return (
            markup.strip(figures) + markup.notes(strip.notes),
            parts.offer(str(target), "Download the strip"),
            command_line("edit", flags),
        )

    def ready(photo, second, edit, *_):
        return photo is not None and (
            second is not None or edit not in strips.WITH_SECOND
        )

    inputs = [photo, second, edit, block, steps, switches, count]
    changes = [photo.change, second.change, edit.input, block.release]
    changes += [steps.release, switches.input, count.release]
    page.previewed(run, inputs, outputs, actions, changes, ready)
    edit.input(
        lambda edit: (
            gr.update(visible=edit in ("interpolate", "reencode")),
            gr.update(visible=edit == "interpolate"),
            gr.update(visible=edit == "scale"),
        ),
        edit,
        [steps, switches, count],
        api_visibility="private",
        show_progress="hidden",
    )
