"""Reconstructions of autoencoders, inverters and pairs, side by side.

    python -m benchmarks.inversion --photos=folder:PHOTOS --output=FOLDER \
        --model=runs/ae-deepsim,runs/ae-l2,vgg19-block4 [--size=64]

Models are workdirs, released files or names. Writes table.md, page.png,
spectrum.png, and results.json with 95 % intervals. Photos are reduced to squares, and
reconstructions are rounded as a saved picture is. Columns beside the usual metrics:

    spectrum          mean distance of the spectrum from that of the photos, dB
    fine detail       its upper quarter, dB; negative is blur, positive artefacts
    image error       distance of photo and reconstruction / of two photos
    feature error     the same in the features that the model decodes; for autoencoders,
                      those of AlexNet's conv5
    cosine            of these features
"""

import jax
import numpy as np
from absl import flags

from benchmarks.harness import names_of_models
from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.data.crops import make_crop
from vgg_unpool_jax.evaluation import spectrum
from vgg_unpool_jax.evaluation.perceptual import available_metrics
from vgg_unpool_jax.evaluation.pictures import enlarge, picture_grid, save_png
from vgg_unpool_jax.evaluation.reconstructions import measure
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.pretrained.feature_layers import (
    FeatureLayer,
    frozen_params,
    load_layers,
)
from vgg_unpool_jax.systems import load_trained
from vgg_unpool_jax.systems.unpooling.pair import Pair

_MODEL = define_path_list("model", None, "Workdirs, released files or names.")
_PHOTOS = flags.DEFINE_string("photos", None, "Photos, such as folder:PATH.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the report.")
_SIZE = flags.DEFINE_integer("size", 64, "Side of the photos in pixels.", 32)
_PICTURES = flags.DEFINE_integer("pictures", 6, "Rows of the page.", lower_bound=1)
_FILES = ("table.md", "page.png", "spectrum.png", "results.json")
_LAYER = FeatureLayer("alexnet", "conv5")
_HEADS = {
    "psnr": ("PSNR, dB", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips": ("LPIPS", ".3f"),
    "dists": ("DISTS", ".3f"),
}
_NUMBERS = {
    "spectrum_error": ("spectrum, dB off", ".2f"),
    "high_frequency_error": ("fine detail, dB", "+.2f"),
    "image_error": ("image error", ".3f"),
    "feature_error": ("feature error", ".3f"),
    "feature_cosine": ("cosine", ".3f"),
}


def main() -> None:
    """Run the command."""
    folder = output_folder(_OUTPUT.value)
    check_outputs([folder / name for name in _FILES])
    names = names_of_models(_MODEL.value)
    models = dict(zip(names, map(load_trained, _MODEL.value), strict=True))
    source, perceptual = make_source(_PHOTOS.value), available_metrics()[0]
    common = _common_features()
    crop = make_crop("center_resize", _SIZE.value)
    photos = np.stack([crop.cut(source[i]) for i in range(len(source))])
    page, found = {"photo": _page_images(photos)}, {}
    for name, model in models.items():
        outputs = np.stack([_reconstructed(model, photo) for photo in photos])
        page[name] = _page_images(outputs)
        found[name] = measure(outputs, photos, _features(model) or common, perceptual)
        print(f"{name}: PSNR {found[name]['psnr'].mean:.2f} dB", flush=True)
    save_png(folder / "page.png", picture_grid(page))
    save_png(folder / "spectrum.png", _plot(found))
    table = _make_table(found)
    with replacing(folder / "table.md") as file:
        file.write(f"{table}\n".encode())
    print(table)
    facts = {"photos": _PHOTOS.value, "count": len(source), "size": _SIZE.value}
    facts["models"] = {name: model.describe() for name, model in models.items()}
    write_results(folder / "results.json", {**facts, "results": found})


def _make_table(found) -> str:
    """Markdown table with a row for each model."""
    known = next(iter(found.values()))
    columns = {k: head for k, head in (_HEADS | _NUMBERS).items() if k in known}
    rows = [["", *(title for title, _ in columns.values())]]
    for name, numbers in found.items():
        cells = []
        for key, (_, form) in columns.items():
            value = numbers[key]
            cells.append(format(getattr(value, "mean", value), form))
        rows.append([name, *cells])
    return markdown_table(rows)


def _reconstructed(model, photo):
    found = np.asarray(model.reconstruct_photo(photo))
    return np.rint(np.clip(found, 0, 255)).astype(np.uint8)


def _page_images(images):
    shown = images[: _PICTURES.value]
    return enlarge(shown, max(1, 128 // shown.shape[1]))


def _plot(found):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((6, 4), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    frequencies = (np.arange(spectrum.BINS) + 0.5) / (2 * spectrum.BINS)
    for name, numbers in found.items():
        axes.plot(frequencies, numbers["spectrum_ratio_db"], label=name)
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set_xlabel("cycles per pixel")
    axes.set_ylabel("power / that of the photos, dB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _features(model):
    """What an inverter or a pair decodes, without switches; None for other models."""
    if isinstance(model, Pair):
        return lambda images: model.encode(images)[0]
    if getattr(model, "layer", None) is None:
        return None
    return model.encode


def _common_features():
    (layer,), weights = load_layers([_LAYER], {})
    params = frozen_params(weights)[layer.network]
    return jax.jit(lambda images: layer.apply(params, images))


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "photos", "output"])
    command.run(main)
