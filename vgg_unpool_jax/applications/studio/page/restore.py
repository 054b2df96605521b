"""The tab Restore: damage taken away, grey photos coloured, small ones enlarged."""

import gradio as gr

from vgg_unpool_jax.applications.studio import restore
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.measures import measure
from vgg_unpool_jax.applications.studio.models import Known
from vgg_unpool_jax.applications.studio.page import markup, parts
from vgg_unpool_jax.applications.studio.page.parts import Page

_ABOUT = (
    "Add a damage and see it taken away again, with the error against the photo; or "
    "take a photo that needs it."
)
_TASKS = {
    "restoration": "take damage away",
    "colorization": "colour",
    "super_resolution": "enlarge",
}
# The commands that repeat them, and the names of their results.
_COMMANDS = {
    "restoration": ("restore", "restored"),
    "colorization": ("colorize", "coloured"),
    "super_resolution": ("upscale", "enlarged"),
}


def build(page: Page) -> None:
    """Lay the tab out."""
    choices = {
        f"{_TASKS[system]} ({known.title})": known
        for system in _TASKS
        for known in page.models.of(system)
    }
    first = next(iter(choices))
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            photo = page.photo("Photo")
            task = gr.Radio(list(choices), value=first, label="Task")
            kind = gr.Radio(list(restore.DAMAGES), value="none", label="Damage to add")
            level = gr.Slider(1, 100, value=25, step=1, label="Level", visible=False)
            strength = gr.Slider(
                0, 2, value=1, step=0.05, **_strength_of(choices[first])
            )
            actions = parts.actions("Restore")
        with gr.Column(scale=3, min_width=300):
            compared = parts.result("Before and after")
            facts = gr.HTML(js_on_load=None)
            file = parts.download("Download")
            command = parts.command_box()
    outputs = [compared, facts, file, command]

    def run(session, job, photo, title, kind, level, strength, *, whole):
        photo = parts.required(photo)
        known = choices[title]
        model = page.load(known, job)
        pixels = photo.pixels(whole=whole)
        damaged = restore.damage(pixels, kind, level)
        flags = {"model": known.name, "input": photo.name, "output": "results"}
        if known.system == "restoration":
            found = restore.restore(model, damaged, strength, job)
            flags["strength"] = None if strength == 1 else strength
        elif known.system == "colorization":
            found = restore.colorize(model, damaged, strength, job)
            flags["saturation"] = None if strength == 1 else strength
        else:
            found = restore.enlarge(model, damaged, job)
        name, (command, done) = parts.stem(photo), _COMMANDS[known.system]
        before = parts.shown(
            session, found.before, "before", "before", f"{name} before"
        )
        after = parts.shown(session, found.after, "after", done, f"{name} {done}")
        height, width = found.after.shape[:2]
        values = {"size": f"{width}×{height}"}
        if found.note:
            values["the network sees"] = found.note
        if kind != "none" and found.after.shape == pixels.shape:
            values["damaged"] = str(measure(found.before, pixels))
            values[done] = str(measure(found.after, pixels))
        path = parts.saved(session, found.after, f"{name}_{done}.png")
        lines = [command_line(command, flags)]
        if spec := restore.damage_spec(kind, level):
            damaging = {"input": photo.name, "output": "damaged", "damage": spec}
            flags["input"] = f"damaged/{name}.png"
            lines = [command_line("damage", damaging), command_line(command, flags)]
        return (
            markup.before_after(before, after),
            markup.facts(values),
            parts.offer(path, f"Download {width}×{height} PNG"),
            " && \\\n".join(lines),
        )

    inputs = [photo, task, kind, level, strength]
    changes = [photo.change, task.input, kind.input, level.change, strength.release]
    page.previewed(run, inputs, outputs, actions, changes)
    private = {"api_visibility": "private", "show_progress": "hidden"}
    kind.input(_level_of, kind, level, **private)
    task.input(
        lambda title: gr.update(**_strength_of(choices[title])),
        task,
        strength,
        **private,
    )


def _strength_of(known: Known) -> dict[str, object]:
    """The slider's label, and whether the task has it."""
    coloured = known.system == "colorization"
    return {
        "label": "Saturation" if coloured else "Strength",
        "visible": known.system != "super_resolution",
    }


def _level_of(kind: str):
    if restore.DAMAGES[kind] is None:
        return gr.update(visible=False)
    _, low, high, value = restore.DAMAGES[kind]
    return gr.update(minimum=low, maximum=high, value=value, visible=True)
