"""The tab Compress: a learned codec beside JPEG, WebP and AVIF."""

import gradio as gr
from PIL import Image

from vgg_unpool_jax.applications.studio import compress
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.models import Known
from vgg_unpool_jax.applications.studio.page import markup, parts
from vgg_unpool_jax.applications.studio.page.parts import Page
from vgg_unpool_jax.applications.studio.photos import check_bytes
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.systems.codec.bitstream import SUFFIX

_ABOUT = (
    "A learned codec beside others **at the same number of bytes**. Point at a "
    "picture, or focus it and use the arrow keys: the magnifier shows the same place "
    "of all."
)


def build(page: Page) -> None:
    """Lay the tab out."""
    codecs = {known.title: known for known in page.models.of("codec")}
    first = next(iter(codecs))
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            photo = page.photo("Photo")
            codec = gr.Radio(
                list(codecs), value=first, label="Codec", visible=len(codecs) > 1
            )
            about = gr.Markdown(_trained_on(codecs[first]), elem_classes=["hint"])
            top = codecs[first].qualities
            quality = gr.Slider(
                1, top, value=(top + 1) // 2, step=1, label="Quality of the codec"
            )
            actions = parts.actions("Compress")
            with gr.Accordion(f"Decode a {SUFFIX} file", open=False):
                compressed = gr.File(
                    label=f"File ({SUFFIX})",
                    file_types=[SUFFIX],
                    type="filepath",
                    height=120,
                )
        with gr.Column(scale=3, min_width=300):
            pictures = parts.result("The photo and the decoded files")
            file = parts.download("Download")
            command = parts.command_box()
    outputs = [pictures, file, command]

    def run(session, job, photo, title, quality, *, whole):
        photo = parts.required(photo)
        known = codecs[title]
        model = page.load(known, job)
        pixels = photo.pixels(whole=whole)
        ours = compress.compress(model, pixels, int(quality), job)
        found = [ours, *compress.beside(pixels, len(ours.content), job)]
        name = parts.stem(photo)
        figures = [
            parts.shown(session, pixels, "photo", "the photo", f"The photo {name}")
        ]
        for one in found:
            alt = f"{name} as {one.codec} of {len(one.content):,} bytes"
            caption = f"{one.codec}: {one}"
            figures.append(parts.shown(session, one.image, one.codec, caption, alt))
        target = session.new_file(name + SUFFIX)
        target.write_bytes(ours.content)
        line = {"codec": known.name, "input": photo.name, "output": "compressed"}
        note = "" if whole or photo.is_whole else _reduced(pixels)
        return (
            markup.figures(figures, magnified=True) + note,
            parts.offer(
                str(target), f"Download {name}{SUFFIX}, {len(ours.content):,} bytes"
            ),
            command_line("compress", line | {"quality": int(quality)}),
        )

    def decode(session, job, path):
        if path is None:
            return [gr.skip() for _ in outputs]
        found = page.sessions.adopt(session, path)
        check_bytes(found, found.name)
        job.say(0.0, "decoding")
        image = decoded(page, found)
        caption = f"{found.name}: {image.shape[1]}×{image.shape[0]}"
        figure = parts.shown(
            session, image, "decoded", caption, f"Decoded {found.name}"
        )
        target = session.new_file(f"{found.stem}.png")
        Image.fromarray(image).save(target)
        return (
            markup.figures([figure]),
            parts.offer(str(target), "Download PNG"),
            command_line("decompress", {"input": found.name, "output": "decoded"}),
        )

    inputs = [photo, codec, quality]
    page.previewed(run, inputs, outputs, actions, [photo.change, quality.release])
    page.heavy([compressed.upload], decode, [compressed], outputs, actions[-1])
    codec.input(
        lambda title: (
            gr.update(maximum=codecs[title].qualities),
            _trained_on(codecs[title]),
        ),
        codec,
        [quality, about],
        api_visibility="private",
    )


def decoded(page: Page, path):
    """The picture of a compressed file, by whichever codec made it."""
    content, errors = path.read_bytes(), []
    for known in page.models.of("codec"):
        try:
            return page.models.load(known).decompress(content, name=path.name)
        except UserError as error:
            errors.append(error)
    raise errors[0]


def _trained_on(known: Known) -> str:
    if not known.trained_on:
        return ""
    return f"`{known.title}` was trained on {known.trained_on}; other photos cost more."


def _reduced(pixels) -> str:
    return markup.notes(
        [
            f"A preview at {pixels.shape[1]}×{pixels.shape[0]}; Full size compresses "
            "the whole photo."
        ]
    )
