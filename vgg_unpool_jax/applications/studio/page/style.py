"""The tab Style: one photo with the look of another."""

import functools
import hashlib
import pathlib
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from vgg_unpool_jax.applications.studio import style
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.page import looks, markup, painting, parts
from vgg_unpool_jax.applications.studio.page.looks import NO_LOOK
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


class Inputs(NamedTuple):
    """The inputs of the tab: components, and in a handler their values."""

    photo: Any
    other: Any
    look: Any
    alpha: Any
    amount: Any
    levels: Any
    smoothing: Any
    regions: Any
    count: Any
    ours: Any
    theirs: Any
    side: Any
    suffix: Any
    measured: Any  # (what was measured, the file of its statistics)


def build(page: Page) -> None:
    """Lay the tab out."""
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                photo, other = page.photo("Photo"), page.photo("Style")
            alpha, amount, levels, smoothing = _transfer_inputs(page)
            regions, count, *painted = _region_inputs(photo, other)
            actions = parts.actions("Preview")
            side, suffix = _full_size_inputs()
            panel = looks.panel(page)
            with gr.Accordion("Several photos at once", open=False):
                many = gr.File(
                    label="Photos",
                    file_count="multiple",
                    type="filepath",
                    height=140,
                )
                all_of_them = gr.Button("Stylise all")
        with gr.Column(scale=3, min_width=300):
            shown = parts.result("Photo and result")
            details = gr.HTML(js_on_load=None)
            with gr.Row():
                names = ("Download", "Look as .cube", "Masks")
                files = [parts.download(name) for name in names]
            command = parts.command_box()
    inputs = Inputs(
        *(photo, other, panel.chosen, alpha, amount, levels, smoothing),
        *(regions, count, *painted, side, suffix, gr.State()),
    )
    outputs = [shown, details, *files, command, inputs.measured]
    changes = [photo.change, other.change, alpha.release, count.release]
    changes += [one.input for one in (amount, levels, smoothing, regions)]
    changes += [panel.chosen.change]
    run = functools.partial(_stylize, page)
    page.previewed(run, inputs, outputs, actions, changes, _is_ready)
    # A new style photo is wanted in place of a saved look.
    other.change(
        lambda photo: gr.skip() if photo is None else NO_LOOK,
        other,
        panel.chosen,
        api_visibility="private",
        show_progress="hidden",
    )
    page.heavy(
        [all_of_them.click],
        functools.partial(_stylize_all, page),
        [many, *inputs],
        outputs,
        actions[-1],
    )
    page.heavy(
        [panel.save.click],
        functools.partial(_save_look, page),
        [panel.name, other, side],
        [panel.gallery, panel.chosen, panel.name],
        actions[-1],
    )


def _transfer_inputs(page):
    blocks = list(page.styles.blocks)
    return (
        gr.Slider(0, 1.5, value=1, step=0.05, label="Strength"),
        gr.Radio(list(style.LOOKS), value=style.DEFAULT_LOOK, label="How much style"),
        gr.CheckboxGroup(
            [(f"block {block}", block) for block in blocks],
            value=blocks,
            label="Levels",
        ),
        gr.Radio(
            [(title, name) for name, title in style.SMOOTHING_TITLES.items()],
            value=style.DIFFERENCE,
            label="Smoothing along the photo's edges",
        ),
    )


def _region_inputs(photo, other):
    kind = gr.Radio([_WHOLE, _FOUND, _PAINTED], value=_WHOLE, label="Regions")
    count = gr.Slider(2, 4, value=3, step=1, label="Number of regions", visible=False)
    with gr.Column(visible=False) as box:
        gr.Markdown(
            "Paint both photos: **equal colours belong together**.",
            elem_classes=["hint"],
        )
        editors = [painting.editor(f"Regions of the {of}") for of in ("photo", "style")]

    private = {"api_visibility": "private", "show_progress": "hidden"}
    kind.input(
        lambda kind: [gr.update(visible=kind == one) for one in (_FOUND, _PAINTED)],
        kind,
        [count, box],
        **private,
    )
    for one, editor in zip((photo, other), editors, strict=True):
        gr.on([kind.input, one.change], _background, [kind, one], editor, **private)
    return kind, count, *editors


def _background(kind, photo):
    if kind != _PAINTED:
        return gr.skip()
    return None if photo is None else photo.preview


def _full_size_inputs():
    with gr.Accordion("Full size: settings", open=False):
        return (
            gr.Radio(
                list(_SIDES),
                value="1024 px",
                label="Stylise at",
                info="A last step brings the result to the photo's own size.",
            ),
            gr.Radio(list(_FORMATS), value=".png", label="Format"),
        )


def _is_ready(*values) -> bool:
    wanted = Inputs(*values)
    if wanted.photo is None or (wanted.other is None and wanted.look == NO_LOOK):
        return False
    strokes = wanted.ours, wanted.theirs
    painted = [any(stroke[..., 3].any() for stroke in one or ()) for one in strokes]
    return wanted.regions != _PAINTED or all(painted)


def _stylize(page, session, job, *values, whole):
    wanted = Inputs(*values)
    photo = parts.required(wanted.photo)
    side = _SIDES[wanted.side] if whole else PREVIEW
    settings, masks = _settings(wanted), _masks(session, wanted)
    found, measured = _style(page, session, job, wanted, side, masks)
    source = photo.path
    if not whole:
        source = session.new_file("photo.png")
        save_shown(source, photo.preview)
    stem, suffix = parts.stem(photo), wanted.suffix if whole else ".png"
    output = session.new_file(f"{stem}_stylized{suffix}")
    lut = session.new_file(f"{stem}_look.cube")
    mask = masks[0] if masks else None
    result = page.styles.stylize(
        ContentFile(source, mask, output), found, settings, side, job, lut
    )
    alt = f"The photo with the look of {_title(wanted)}"
    before, after = (
        parts.shown(session, photo.pixels(whole=whole), "photo", "photo", "The photo"),
        parts.shown(session, result.image, "stylized", "stylised", alt),
    )
    details = markup.notes(result.notes)
    if result.regions is not None:
        details += _region_figures(session, result.regions, (photo, wanted.other))
    flags = {"content": photo.name, "output": output.name}
    if masks:
        flags |= {"content_mask": masks[0].name, "style_mask": masks[1].name}
    height, width = result.image.shape[:2]
    return (
        markup.before_after(before, after),
        details,
        parts.offer(str(output), f"Download {width}×{height} {suffix[1:].upper()}"),
        parts.offer(str(lut), "Look as .cube"),
        parts.offer(parts.zipped(session, "masks.zip", masks), "Masks"),
        _command(page, wanted, settings, side, flags),
        measured,
    )


def _stylize_all(page, session, job, paths, *values):
    wanted = Inputs(*values)
    if not paths:
        raise UserError("choose the photos first")
    if len(paths) > _MOST_PHOTOS:
        raise UserError(
            f"{len(paths)} photos are too many for the page, which takes "
            f"{_MOST_PHOTOS}: `./launch.sh stylize --content=FOLDER` takes any"
        )
    side, settings = _SIDES[wanted.side], _settings(wanted)
    found, measured = _style(page, session, job, wanted, side)
    outputs, figures, refused = [], [], []
    for path in job.parts(paths, lambda n: f"photo {n + 1} of {len(paths)}"):
        try:
            one = page.take(session, path)
            output = session.new_file(f"{parts.stem(one)}_stylized{wanted.suffix}")
            file = ContentFile(one.path, None, output)
            result = page.styles.stylize(file, found, settings, side, job)
        except PhotoError as error:
            refused.append(str(error))
            continue
        outputs.append(output)
        alt = f"{one.name} with the look of {_title(wanted)}"
        figures.append(parts.small(session, result.image, one.name, alt))
    if not outputs:
        raise UserError("; ".join(refused))
    zipped = parts.zipped(session, "photos.zip", outputs)
    flags = {"content": "FOLDER", "output": "stylized/", "format": wanted.suffix}
    return (
        markup.figures(figures),
        markup.notes(refused),
        parts.offer(zipped, f"Download {len(outputs)} photos"),
        *[parts.offer(None, "")] * 2,
        _command(page, wanted, settings, side, flags),
        measured,
    )


def _save_look(page, session, job, name, other, side):
    other = parts.required(other, "the style photo of the look")
    if not (name or "").strip():
        raise UserError("give the look a name first")
    target = session.new_file("look.safetensors")
    page.styles.measure(StyleFile(other.path), target, _SIDES[side], job)
    kept = page.looks.save(name, target, other.preview)
    gallery, choices = looks.listed(page)
    return gallery, choices | {"value": kept.name}, ""


def _settings(wanted: Inputs) -> style.Settings:
    if not wanted.levels:
        raise UserError("choose at least one level")
    found = wanted.regions == _FOUND and wanted.look == NO_LOOK
    return style.Settings(
        alpha=float(wanted.alpha),
        levels=tuple(int(level) for level in wanted.levels),
        smoothing=wanted.smoothing,
        look=wanted.amount,
        regions=int(wanted.count) if found else 0,
    )


def _masks(session, wanted: Inputs) -> list[pathlib.Path]:
    """Painted regions of the photo and of the style, as files; or none."""
    if wanted.regions != _PAINTED or wanted.look != NO_LOOK:
        return []
    labels = [style.painted_labels(one or ()) for one in (wanted.ours, wanted.theirs)]
    if any(one is None for one in labels):
        raise UserError("paint at least one region on both photos, in the same colour")
    paths = [session.new_file(f"{name}_mask.png") for name in ("photo", "style")]
    for path, one in zip(paths, labels, strict=True):
        Image.fromarray(one).save(path)
    return paths


def _style(page, session, job, wanted: Inputs, side, masks=()):
    """The style, and what is known of it: it is measured unless it was just before."""
    if wanted.look != NO_LOOK:
        return StyleFile(page.looks.find(wanted.look).path), wanted.measured
    other = parts.required(wanted.other, "a style photo, or a saved look,")
    mask = masks[1] if masks else None
    found, measured = StyleFile(other.path, mask), wanted.measured
    if wanted.regions == _FOUND:
        return found, measured
    digest = hashlib.sha256(mask.read_bytes()).hexdigest() if mask else ""
    key = other.path, side, digest
    if measured is None or measured[0] != key:
        target = session.new_file("look.safetensors")
        measured = key, page.styles.measure(found, target, side, job)
    return measured[1], measured


def _title(wanted: Inputs) -> str:
    return wanted.other.name if wanted.look == NO_LOOK else wanted.look


def _region_figures(session, regions, photos) -> str:
    row = []
    for name, part, photo in zip(("photo", "style"), regions, photos, strict=True):
        picture = style.region_picture(part, photo.preview)
        caption = f"regions of the {name}"
        row.append(parts.shown(session, picture, "regions", caption, caption))
    return markup.figures(row)


def _command(page, wanted: Inputs, settings, side, flags) -> str:
    saved = wanted.look != NO_LOOK
    flags |= page.styles.flags(settings)
    flags["style"] = page.looks.find(wanted.look).path if saved else _title(wanted)
    flags["max_side"] = None if side == MAX_SIDE else side
    if saved or "content_mask" in flags:
        flags["auto_regions"] = None  # it looks for none
    order = "content", "style", "output", *flags
    return command_line("stylize", {name: flags[name] for name in order})
