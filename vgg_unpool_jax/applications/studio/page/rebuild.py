"""The tab Rebuild: a photo through a pair, and what switches carry."""

import gradio as gr

from vgg_unpool_jax.applications.studio import rebuild
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.page import markup, parts
from vgg_unpool_jax.applications.studio.page.parts import Page

_ABOUT = (
    "VGG19 is cut at the chosen block; a decoder makes the photo again from the "
    "features and the *switches*, the places of the maxima of every pooling. The "
    "deeper the block, the more of the picture is in the switches alone."
)


def build(page: Page) -> None:
    """Lay the tab out."""
    pairs = page.models.pairs()
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            photo = page.photo("Photo")
            block = gr.Slider(
                min(pairs), max(pairs), value=min(3, max(pairs)), step=1, label="Block"
            )
            with gr.Accordion("Switches of another photo", open=False):
                other = page.photo("Other photo")
            actions = parts.actions("Rebuild")
        with gr.Column(scale=3, min_width=300):
            compared = parts.result("Photo and reconstruction")
            facts = gr.HTML(js_on_load=None)
            file = parts.download("Download")
            switches = gr.HTML(js_on_load=None)
            command = parts.command_box()

    def run(session, job, photo, block, other, *, whole):
        photo = parts.required(photo)
        if int(block) not in pairs:
            raise gr.Error(f"there is no pair of block {block} on this machine")
        known = pairs[int(block)]
        pair = page.load(known, job)
        pixels = photo.pixels(whole=whole)
        found = rebuild.rebuild(pair, pixels, job)
        name = parts.stem(photo)
        before = parts.shown(session, pixels, "photo", "photo", f"The photo {name}")
        after = parts.shown(
            session,
            found.image,
            "rebuilt",
            f"block {block}",
            f"{name} rebuilt from block {block}",
        )
        values = {
            "L1": f"{found.measures.l1:.2f}",
            "PSNR": f"{found.measures.psnr:.2f} dB",
            "SSIM": f"{found.measures.ssim:.4f}",
            "size": f"{pixels.shape[1]}×{pixels.shape[0]}",
            "features": _features(pixels, pair),
        }
        error = parts.shown(
            session,
            rebuild.error_of(found, pixels),
            "error",
            "absolute error ×8",
            f"Absolute error of block {block}, times eight",
        )
        row = [error]
        if not whole:
            lent = None if other is None else other.preview
            row += [
                parts.shown(session, picture.image, kind, f"{title}: {m}", alt)
                for kind, picture in rebuild.switch_pictures(
                    pair, pixels, lent, job
                ).items()
                for title, alt in [_TITLES[kind]]
                for m in [f"PSNR {picture.measures.psnr:.2f} dB"]
            ]
        path = parts.saved(session, found.image, f"{name}_block{block}.png")
        line = {"workdir": known.name, "input": photo.name, "output": "rebuilt"}
        return (
            markup.before_after(before, after),
            markup.facts(values),
            markup.figures(row),
            parts.offer(path, f"Download {pixels.shape[1]}×{pixels.shape[0]} PNG"),
            command_line("reconstruct", line | {"grid": True}),
        )

    outputs = [compared, facts, switches, file, command]
    inputs = [photo, block, other]
    changes = [block.release, photo.change, other.change]
    page.previewed(run, inputs, outputs, actions, changes)


_TITLES = {
    "none": ("no switches", "Reconstruction with every maximum at a fixed place"),
    "other": ("the other photo's switches", "Reconstruction with other switches"),
}


def _features(pixels, pair) -> str:
    height, width = (-(-side // 2 ** (pair.block - 1)) for side in pixels.shape[:2])
    return f"{width}×{height}×{64 * 2 ** min(pair.block - 1, 3)}"
