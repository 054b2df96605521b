"""Calls for programs: `gradio_client.Client(URL).predict(..., api_name="/style")`.

They wait in the same queue as the page, and their files go with their session.
"""

import gradio as gr

from vgg_unpool_jax.applications.studio import compress, rebuild, restore, style
from vgg_unpool_jax.applications.studio.page import parts
from vgg_unpool_jax.applications.studio.page.compress import decoded
from vgg_unpool_jax.applications.studio.page.parts import Page
from vgg_unpool_jax.applications.studio.photos import check_bytes
from vgg_unpool_jax.applications.stylization.files import ContentFile, StyleFile
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.codec.bitstream import SUFFIX


def add(page: Page) -> None:
    """Add the calls whose models are on this machine."""
    with gr.Column(visible=False):
        if page.styles.blocks:
            _add_style(page)
        if page.models.of("unpooling"):
            _add_rebuild(page)
        if page.models.of("codec"):
            _add_compress(page)
        if page.models.of("restoration"):
            _add_restore(page)


def _endpoint(name: str, function, inputs) -> None:
    gr.Button().click(
        function,
        inputs,
        gr.File(label="result"),
        api_name=name,
        concurrency_limit=1,
        concurrency_id=parts.HEAVY,
    )


def _add_style(page: Page) -> None:
    def run(session, job, photo, look, alpha, max_side, regions):
        photo, look = page.take(session, photo), page.take(session, look)
        settings = style.Settings(alpha=float(alpha), regions=int(regions))
        output = session.new_file(f"{parts.stem(photo)}_stylized.png")
        file = ContentFile(photo.path, None, output)
        page.styles.stylize(file, StyleFile(look.path), settings, int(max_side), job)
        return str(output)

    def style_(photo, style, alpha, max_side, regions, request: gr.Request):
        """A photo with the look of another, as PNG."""
        values = photo, style, alpha, max_side, regions
        return page.work(run)(request, _silent, *values)

    inputs = [
        gr.File(label="photo"),
        gr.File(label="style"),
        gr.Number(1.0, minimum=0, maximum=10, label="strength"),
        gr.Number(
            1024, minimum=0, precision=0, label="working side, 0: that of the photo"
        ),
        gr.Number(
            0, minimum=0, maximum=8, precision=0, label="automatic regions, 0: none"
        ),
    ]
    _endpoint("style", style_, inputs)


def _add_rebuild(page: Page) -> None:
    pairs = page.models.pairs()

    def run(session, job, photo, block):
        if block not in pairs:
            raise ConfigError(f"block must be one of {', '.join(map(str, pairs))}")
        photo = page.take(session, photo)
        pair = page.models.load(pairs[int(block)])
        found = rebuild.rebuild(pair, photo.pixels(whole=True), job)
        return parts.saved(session, found.image, f"{parts.stem(photo)}_rebuilt.png")

    def rebuild_(photo, block, request: gr.Request):
        """A photo through the pair of a block, as PNG."""
        return page.work(run)(request, _silent, photo, block)

    _endpoint(
        "rebuild",
        rebuild_,
        [gr.File(label="photo"), gr.Number(3, precision=0, label="block")],
    )


def _add_compress(page: Page) -> None:
    known = page.models.of("codec")[0]

    def pack(session, job, photo, quality):
        photo = page.take(session, photo)
        codec = page.models.load(known)
        pixels = photo.pixels(whole=True)
        found = compress.compress(codec, pixels, codec.quality(quality), job)
        target = session.new_file(parts.stem(photo) + SUFFIX)
        target.write_bytes(found.content)
        return str(target)

    def unpack(session, job, file):
        found = page.sessions.adopt(session, file)
        check_bytes(found, found.name)
        return parts.saved(session, decoded(page, found), f"{found.stem}.png")

    def compress_(photo, quality, request: gr.Request):
        """A photo as a file of the first codec."""
        return page.work(pack)(request, _silent, photo, quality)

    def decompress(file, request: gr.Request):
        """A file of a codec as PNG."""
        return page.work(unpack)(request, _silent, file)

    middle = (known.qualities + 1) // 2
    quality = gr.Number(middle, precision=0, label="quality")
    _endpoint("compress", compress_, [gr.File(label="photo"), quality])
    _endpoint("decompress", decompress, [gr.File(label="file")])


def _add_restore(page: Page) -> None:
    known = page.models.of("restoration")[0]

    def run(session, job, photo, strength):
        photo = page.take(session, photo)
        model = page.models.load(known)
        found = restore.restore(model, photo.pixels(whole=True), float(strength), job)
        return parts.saved(session, found.after, f"{parts.stem(photo)}_restored.png")

    def restore_(photo, strength, request: gr.Request):
        """A photo without its noise and JPEG artefacts, as PNG."""
        return page.work(run)(request, _silent, photo, strength)

    strength = gr.Number(1.0, minimum=0, maximum=10, label="strength")
    _endpoint("restore", restore_, [gr.File(label="photo"), strength])


def _silent(share: float, desc: str) -> None:
    """Progress that nobody sees."""
