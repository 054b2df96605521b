"""The page: its tabs, as far as their models are on this machine."""

import pathlib
from collections.abc import Callable

import gradio as gr

from vgg_unpool_jax.applications.studio.page import (
    api,
    compress,
    edit,
    invert,
    parts,
    rebuild,
    restore,
    sample,
    style,
)
from vgg_unpool_jax.applications.studio.page.parts import Page

_HERE = pathlib.Path(__file__).parent
_FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

# Title, what builds it, and the systems of which one is enough.
TABS: tuple[tuple[str, Callable[[Page], None], tuple[str, ...]], ...] = (
    ("Style", style.build, ("staged", "unpooling")),
    ("Rebuild", rebuild.build, ("unpooling",)),
    ("Edit", edit.build, ("unpooling",)),
    ("Compress", compress.build, ("codec",)),
    (
        "Restore",
        restore.build,
        ("restoration", "colorization", "super_resolution"),
    ),
    ("Sample", sample.build, ("vae",)),
    ("Invert", invert.build, ("deepsim",)),
)

_HEADER = """
# vgg_unpool_jax studio

Photos through VGG19 and back, on this machine: no network, no account, nothing is kept
when you close the page.
"""
_MISSING = "### What is not here yet\n\n{}\n"


def build(page: Page) -> gr.Blocks:
    """The page with all tabs whose models are here."""
    missing = []
    with gr.Blocks(
        title="vgg_unpool_jax studio",
        analytics_enabled=False,
        delete_cache=(3600, 86400),
    ) as blocks:
        gr.Markdown(_HEADER, elem_id="header")
        with gr.Tabs():
            for title, build_tab, systems in TABS:
                if any(page.models.of(system) for system in systems):
                    with gr.Tab(title, id=title.lower()):
                        build_tab(page)
                missing += filter(None, map(page.models.missing, systems))
            if missing:
                lines = "\n".join(
                    f"- {sentence}." for sentence in dict.fromkeys(missing)
                )
                with gr.Tab("More", id="more"):
                    gr.Markdown(_MISSING.format(lines), elem_id="missing")
        api.add(page)
        for function, outputs in page.opened:
            blocks.load(
                function,
                None,
                list(outputs),
                api_visibility="private",
                show_progress="hidden",
            )
        blocks.unload(_leaving(page))
        blocks.queue(max_size=parts.MAX_WAITING)
    return blocks


def _leaving(page: Page) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        page.sessions.end(request.session_hash)

    return leave


def theme() -> gr.themes.Base:
    """Fonts of the system: none comes from the network."""
    return gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", font=_FONTS, font_mono=_MONO
    )


def head() -> str:
    """Style and behaviour of our own pictures."""
    style = (_HERE / "studio.css").read_text(encoding="utf-8")
    script = (_HERE / "studio.js").read_text(encoding="utf-8")
    return f"<style>{style}</style>\n<script>{script}</script>"
