"""The tab Sample: pictures from a VAE."""

import gradio as gr

from vgg_unpool_jax.applications.studio import sample
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.page import markup, parts
from vgg_unpool_jax.applications.studio.page.parts import Page
from vgg_unpool_jax.evaluation.pictures import enlarge

_ABOUT = (
    "Codes drawn from the prior, decoded: a grid, a walk from one code to another, or "
    "one code whose first units you move."
)
_GRID, _WALK, _UNITS = "grid", "walk", "single units"
_LARGEST = 3.0  # of a unit, in standard deviations of the prior
_SHOWN = 128  # smallest side of a picture of a walk in pixels


def build(page: Page) -> None:
    """Lay the tab out."""
    models = {known.title: known for known in page.models.of("vae")}
    gr.Markdown(_ABOUT, elem_classes=["about"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            model = gr.Radio(
                list(models),
                value=next(iter(models)),
                label="Model",
                visible=len(models) > 1,
            )
            kind = gr.Radio([_GRID, _WALK, _UNITS], value=_GRID, label="Pictures")
            seed = gr.Number(0, minimum=0, maximum=2**31 - 1, precision=0, label="Seed")
            count = gr.Slider(1, 100, value=36, step=1, label="Number of pictures")
            temperature = gr.Slider(0, 1.5, value=1, step=0.05, label="Temperature")
            with gr.Column(visible=False) as box:
                units = [
                    gr.Slider(
                        -_LARGEST, _LARGEST, value=0, step=0.05, label=f"Unit {number}"
                    )
                    for number in range(sample.UNITS)
                ]
            actions = parts.actions("Draw", None)
        with gr.Column(scale=3, min_width=300):
            pictures = parts.result("Samples")
            file = parts.download("Download")
            command = parts.command_box()
    outputs = [pictures, file, command]

    def run(session, job, title, kind, seed, count, temperature, *units):
        known, seed, count = models[title], int(seed or 0), int(count)
        vae = page.load(known, job)
        job.say(0.3, "decoding")
        line = ""  # no command draws walks and single units
        if kind == _WALK:
            frames = sample.walk_frames(vae, seed, max(2, count), temperature)
            frames = enlarge(frames, max(1, _SHOWN // vae.image_size))
            figures = [
                parts.shown(session, frame, f"walk{n}", f"{n + 1}", f"Step {n + 1}")
                for n, frame in enumerate(frames)
            ]
            return markup.strip(figures), parts.offer(None, ""), parts.repeated(line)
        if kind == _UNITS:
            image = sample.with_units(vae, seed, units)
            caption = f"code of seed {seed}, with the units as set"
        else:
            image = sample.grid(vae, seed, count, temperature)
            caption = f"{count} samples"
            flags = {"workdir": known.name, "num": count, "seed": seed or None}
            flags["temperature"] = None if temperature == 1 else float(temperature)
            line = command_line("sample", {**flags, "output": "grid.png"})
        figure = parts.shown(session, image, "sample", caption, caption)
        path = parts.saved(session, image, "samples.png")
        offer = parts.offer(path, "Download PNG")
        return markup.figures([figure]), offer, parts.repeated(line)

    inputs = [model, kind, seed, count, temperature, *units]
    changes = [model.input, kind.input, seed.submit, count.release, temperature.release]
    # Of a new code all units change at once.
    changes += [units[0].change, *(unit.release for unit in units)]
    page.previewed(run, inputs, outputs, actions, changes, lambda *_: True)

    def show_units(title, kind, seed):
        values = [gr.skip()] * len(units)
        if kind == _UNITS:
            found = sample.units_of(page.models.load(models[title]), int(seed or 0))
            values = [round(value, 2) for value in found]
            values += [0.0] * (len(units) - len(values))
        single = kind == _UNITS
        return gr.update(visible=single), gr.update(visible=not single), *values

    gr.on(
        [kind.input, seed.change],
        show_units,
        [model, kind, seed],
        [box, count, *units],
        api_visibility="private",
        show_progress="hidden",
    )
