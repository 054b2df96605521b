"""The tab Style: one photo with the look of another."""

import hashlib
import io
import pathlib
import zipfile

import gradio as gr
import numpy as np
from PIL import Image

from vgg_unpool_jax.applications.studio import style
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.page import markup, parts
from vgg_unpool_jax.applications.studio.page.parts import Page
from vgg_unpool_jax.applications.studio.photos import PREVIEW, save_shown
from vgg_unpool_jax.applications.stylization.files import ContentFile, StyleFile
from vgg_unpool_jax.applications.stylization.options import MAX_SIDE
from vgg_unpool_jax.errors import PhotoError, UserError

_ABOUT = (
    "The photo takes light and colours of the style; its shapes and texture stay, "
    "because what is added to it is smooth but for its own edges."
)
_WHOLE, _FOUND, _PAINTED = "the whole photos", "found by itself", "painted"
_SIDES = {"768 px": 768, "1024 px": 1024, "1536 px": 1536, "full size": 0}
_FORMATS = (".png", ".jpg", ".webp", ".tif")
_MOST_PHOTOS = 50
_NO_LOOK = "the style photo"


def build(page: Page) -> None:
    """Lay the tab out."""
    work = page.styles
    blocks = list(work.blocks)
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                photo = page.photo("Photo")
                other = page.photo("Style")
            alpha = gr.Slider(0, 1.5, value=1, step=0.05, label="Strength")
            amount = gr.Radio(
                list(style.LOOKS), value=style.DEFAULT_LOOK, label="How much style"
            )
            levels = gr.CheckboxGroup(
                [(f"block {block}", block) for block in blocks],
                value=blocks,
                label="Levels",
            )
            smoothing = gr.Radio(
                [(title, name) for name, title in style.SMOOTHING_TITLES.items()],
                value=style.DIFFERENCE,
                label="Smoothing along the photo's edges",
            )
            regions = gr.Radio(
                [_WHOLE, _FOUND, _PAINTED], value=_WHOLE, label="Regions"
            )
            count = gr.Slider(
                2, 4, value=3, step=1, label="Number of regions", visible=False
            )
            with gr.Column(visible=False) as painting:
                gr.Markdown(
                    "Paint both photos: **equal colours belong together**.",
                    elem_classes=["hint"],
                )
                ours, theirs = (
                    _editor("Regions of the photo"),
                    _editor("Regions of the style"),
                )
            preview, full, cancel = parts.actions("Preview")
            with gr.Accordion("Full size: settings", open=False):
                side = gr.Radio(
                    list(_SIDES),
                    value="1024 px",
                    label="Stylise at",
                    info="A last step brings the result to the photo's own size.",
                )
                suffix = gr.Radio(list(_FORMATS), value=".png", label="Format")
            looks, look, save_name, save = _looks_panel(page)
            with gr.Accordion("Several photos at once", open=False):
                many = gr.File(
                    label="Photos",
                    file_count="multiple",
                    type="filepath",
                    height=140,
                )
                all_of_them = gr.Button("Stylise all")
        with gr.Column(scale=3, min_width=300):
            compared = parts.result("Photo and result")
            details = gr.HTML(js_on_load=None)
            with gr.Row():
                file, masks = parts.download("Download"), parts.download("Masks")
            command = parts.command_box()
    measured = gr.State()  # (what was measured, the file of its statistics)

    def run(session, job, photo, other, look, *values, whole):
        *values, side, suffix, known = values
        photo = parts.required(photo)
        settings, ours, theirs = _settings(values)
        side = _SIDES[side] if whole else PREVIEW
        content_mask = style_mask = None
        if ours is not None or theirs is not None:
            content_mask, style_mask = (
                _mask(session, labels, name)
                for labels, name in ((ours, "photo_mask"), (theirs, "style_mask"))
            )
        if look != _NO_LOOK:
            found = StyleFile(page.looks.find(look).path)
            title, settings = look, settings.without_regions()
            content_mask = style_mask = None
        else:
            other = parts.required(other, "a style photo, or a saved look,")
            title, found = other.name, StyleFile(other.path, style_mask)
            if not settings.regions:
                key = other.path, side, _digest(theirs)
                if known is None or known[0] != key:
                    target = session.new_file("look.safetensors")
                    known = key, work.measure(found, target, side, job)
                found = known[1]
        name = f"{parts.stem(photo)}_stylized{suffix if whole else '.png'}"
        source = photo.path
        if not whole:
            source = session.new_file("photo.png")
            save_shown(source, photo.preview)
        file = ContentFile(source, content_mask, session.new_file(name))
        result = work.stylize(file, found, settings, side, job)
        shown = _comparison(session, photo.pixels(whole=whole), result.image, title)
        row = []
        if result.regions is not None:
            for part, one in zip(result.regions, (photo, other), strict=True):
                picture = style.region_picture(part, one.preview)
                caption = f"regions of {one.name}"
                row.append(parts.shown(session, picture, "regions", caption, caption))
        flags = {
            "content": photo.name,
            "style": title if look == _NO_LOOK else str(page.looks.find(look).path),
            "output": file.output.name,
            **work.flags(settings),
            "max_side": None if side == MAX_SIDE else side,
            "content_mask": content_mask and content_mask.name,
            "style_mask": style_mask and style_mask.name,
        }
        if content_mask is not None or look != _NO_LOOK:
            flags["auto_regions"] = None  # it looks for none
        height, width = result.image.shape[:2]
        return (
            shown,
            markup.notes(result.notes) + (markup.figures(row) if row else ""),
            parts.offer(str(file.output), f"Download {width}×{height} {name[-4:]}"),
            parts.offer(_zipped(session, [content_mask, style_mask]), "Masks"),
            command_line("stylize", flags),
            known,
        )

    def run_all(session, job, paths, other, look, *values):
        *values, side, suffix, known = values
        settings, _, _ = _settings(values)
        if not paths:
            raise UserError("choose the photos first")
        if len(paths) > _MOST_PHOTOS:
            raise UserError(
                f"{len(paths)} photos are too many for the page, which takes "
                f"{_MOST_PHOTOS}: `./launch.sh stylize --content=FOLDER` takes any"
            )
        if look != _NO_LOOK:
            found, title = StyleFile(page.looks.find(look).path), look
        else:
            other = parts.required(other, "a style photo, or a saved look,")
            target, title = session.new_file("look.safetensors"), other.name
            found = work.measure(StyleFile(other.path), target, _SIDES[side], job)
        outputs, figures, refused = [], [], []
        for path in job.parts(paths, lambda n: f"photo {n + 1} of {len(paths)}"):
            try:
                one = page.take(session, path)
                output = session.new_file(f"{parts.stem(one)}_stylized{suffix}")
                file = ContentFile(one.path, None, output)
                result = work.stylize(
                    file, found, settings.without_regions(), _SIDES[side], job
                )
            except PhotoError as error:
                refused.append(str(error))
                continue
            outputs.append(output)
            alt = f"{one.name} with the look of {title}"
            figures.append(parts.small(session, result.image, one.name, alt))
        if not outputs:
            raise UserError("; ".join(refused))
        return (
            markup.figures(figures),
            markup.notes(refused),
            parts.offer(_zipped(session, outputs), f"Download {len(outputs)} photos"),
            parts.offer(None, ""),
            command_line(
                "stylize",
                {
                    "content": "FOLDER",
                    "style": title,
                    "output": "stylized/",
                    **work.flags(settings.without_regions()),
                    "max_side": None if _SIDES[side] == MAX_SIDE else _SIDES[side],
                    "format": suffix,
                },
            ),
            known,
        )

    def keep_look(session, job, name, other, side):
        other = parts.required(other, "the style photo of the look")
        if not (name or "").strip():
            raise UserError("give the look a name first")
        target = session.new_file("look.safetensors")
        work.measure(StyleFile(other.path), target, _SIDES[side], job)
        kept = page.looks.save(name, target, other.preview)
        names = [_NO_LOOK, *(one.name for one in page.looks.all())]
        return _thumbnails(page), gr.update(choices=names, value=kept.name), ""

    settings = [alpha, amount, levels, smoothing, regions, count, ours, theirs]
    rest = [side, suffix, measured]
    outputs = [compared, details, file, masks, command, measured]

    def preview_of(session, job, photo, other, look, *values):
        if photo is None or (other is None and look == _NO_LOOK):
            return [gr.skip() for _ in outputs]
        return run(session, job, photo, other, look, *values, whole=False)

    inputs = [photo, other, look, *settings, *rest]
    options = {"show_progress_on": [compared]}
    again = [alpha.release, amount.input, levels.input, smoothing.input, look.input]
    page.heavy(
        [preview.click, photo.change, other.change, count.release, *again],
        preview_of,
        inputs,
        outputs,
        cancel,
        trigger_mode="always_last",
        **options,
    )
    page.heavy(
        [full.click],
        lambda *values: run(*values, whole=True),
        inputs,
        outputs,
        cancel,
        **options,
    )
    page.heavy(
        [all_of_them.click],
        run_all,
        [many, other, look, *settings, *rest],
        outputs,
        cancel,
        **options,
    )
    page.heavy(
        [save.click],
        keep_look,
        [save_name, other, side],
        [looks, look, save_name],
        cancel,
    )
    regions.input(
        _show_regions,
        [regions, photo, other],
        [count, painting, ours, theirs],
        api_visibility="private",
        show_progress="hidden",
    )


def _settings(values):
    alpha, amount, levels, smoothing, regions, count, ours, theirs = values
    if not levels:
        raise UserError("choose at least one level")
    found = style.Settings(
        alpha=float(alpha),
        levels=tuple(int(level) for level in levels),
        smoothing=smoothing,
        look=amount,
        regions=int(count) if regions == _FOUND else 0,
    )
    if regions != _PAINTED:
        return found, None, None
    labels = [style.painted_labels(layers or ()) for layers in (ours, theirs)]
    if labels[0] is None or labels[1] is None:
        raise UserError("paint at least one region on both photos, in the same colour")
    return found, *labels


def _editor(label: str) -> gr.ImageEditor:
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


def _show_regions(regions, photo, other):
    painted = regions == _PAINTED
    shown = [
        one.preview if painted and one is not None else None for one in (photo, other)
    ]
    return (
        gr.update(visible=regions == _FOUND),
        gr.update(visible=painted),
        *(gr.update(value=one) if painted else gr.skip() for one in shown),
    )


def _looks_panel(page: Page):
    with gr.Accordion("Saved looks", open=False):
        gallery = gr.Gallery(
            label="Looks",
            columns=4,
            height=150,
            interactive=False,
            allow_preview=False,
            buttons=[],
        )
        look = gr.Dropdown(
            [_NO_LOOK],
            value=_NO_LOOK,
            label="Take the look of",
        )
        with gr.Row(equal_height=True):
            name = gr.Textbox(label="Name", max_length=60, scale=2, min_width=120)
            save = gr.Button("Save the style's look", scale=1, min_width=120)

    def choose(event: gr.SelectData):
        names = [one.name for one in page.looks.all()]
        return names[event.index] if event.index < len(names) else gr.skip()

    def list_looks():
        names = [_NO_LOOK, *(one.name for one in page.looks.all())]
        return _thumbnails(page), gr.update(choices=names)

    page.when_opened(list_looks, [gallery, look])
    gallery.select(choose, None, look, api_visibility="private", show_progress="hidden")
    return gallery, look, name, save


def _thumbnails(page: Page) -> list[tuple[np.ndarray, str]]:
    found = []
    for look in page.looks.all():
        with Image.open(look.thumbnail, formats=("PNG",)) as image:
            found.append((np.asarray(image.convert("RGB")), look.name))
    return found


def _comparison(session, photo, image, title) -> str:
    before = parts.shown(session, photo, "photo", "photo", "The photo")
    after = parts.shown(
        session, image, "stylized", "stylised", f"The photo with the look of {title}"
    )
    return markup.before_after(before, after)


def _mask(session, labels, name) -> pathlib.Path | None:
    if labels is None:
        return None
    path = session.new_file(f"{name}.png")
    Image.fromarray(labels).save(path)
    return path


def _digest(labels) -> str:
    return "" if labels is None else hashlib.sha256(labels.tobytes()).hexdigest()


def _zipped(session, paths) -> str | None:
    paths = [path for path in paths if path is not None]
    if not paths:
        return None
    target = session.new_file("photos.zip")
    names: set[str] = set()
    with zipfile.ZipFile(target, "w") as archive:
        for path in paths:
            name = path.name
            while name in names:
                name = f"again_{name}"
            names.add(name)
            archive.write(path, name)
    return str(target)
