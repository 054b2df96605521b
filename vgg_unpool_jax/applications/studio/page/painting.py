"""Regions painted on a photo."""

import io
import pathlib

import gradio as gr
import numpy as np
from PIL import Image

from vgg_unpool_jax.applications.studio import style
from vgg_unpool_jax.applications.studio.page import parts
from vgg_unpool_jax.applications.studio.photos import PREVIEW
from vgg_unpool_jax.errors import PhotoError


def editor(label: str) -> gr.ImageEditor:
    """A photo to paint on; its value are the strokes, uint8 (h, w, 4) each."""
    return _Editor(
        label=label,
        type="numpy",
        sources=[],
        transforms=[],
        brush=gr.Brush(default_size=40, colors=list(style.PALETTE), color_mode="fixed"),
        layers=False,
        height=320,
    )


def _strokes(editor: gr.ImageEditor, payload) -> list[np.ndarray]:
    """Strokes (h, w, 4), decoded within the size of a preview."""
    if payload is None:
        return []
    if payload.id is not None:
        cached = editor.blob_storage.pop(payload.id, None)
        contents = list(cached.layers) if cached else []
    else:
        contents = [pathlib.Path(layer.path).read_bytes() for layer in payload.layers]
    return [_stroke(content) for content in contents if content]


_Editor = parts.with_preprocess(gr.ImageEditor, _strokes)


def _stroke(content: bytes) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "WEBP"))
        if max(image.size) > 2 * PREVIEW:
            raise PhotoError("painted regions must have the size of the preview")
        return np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError) as error:
        raise PhotoError("the painted regions cannot be read: paint again") from error
