"""Depth and skips: trained networks of one damage on the same photos, side by side.

    python -m benchmarks.restoration_depth --photos=zip:celeba_test.zip --output=F \
        --model=runs/basic21,runs/basic51,runs/pyramidal51 [--count=100]

Writes table.md (PSNR inside and outside of the painted squares, or of all pixels for
other damages, beside the damaged photo and a classical method), gradients.md (norm of
the gradient of each kernel over a batch, of new parameters and after the training),
page.jpg and results.json. Crops and damage are those of the first run's evaluation.

Classical methods: of scikit-image biharmonic inpainting, non-local means, Wiener
deconvolution with the true kernel; of Pillow bilinear enlargement. Their settings are
the best of a few on training faces.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from PIL import Image
from skimage import restoration

from benchmarks.harness import names_of_models
from configs.restoration.base import PRODUCTS
from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.data.crops import make_crop
from vgg_unpool_jax.data.damage import kinds
from vgg_unpool_jax.data.examples import example_generator
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.pictures import enlarge, picture_grid, save_jpeg
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.evaluation.statistics import interval_text, summarize
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.systems.restoration.examples import make_example
from vgg_unpool_jax.systems.restoration.holes import split_psnr
from vgg_unpool_jax.systems.restoration.objective import from_config
from vgg_unpool_jax.systems.restoration.trained import load_restorer
from vgg_unpool_jax.training.stages import examples_seen

_MODEL = define_path_list("model", None, "Workdirs.")
_PHOTOS = flags.DEFINE_string("photos", None, "Photos, such as folder:PATH.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the report.")
_COUNT = flags.DEFINE_integer("count", 0, "Number of photos; 0: all.", lower_bound=0)
_PICTURES = flags.DEFINE_integer("pictures", 6, "Rows of the page.", lower_bound=1)
_FILES = ("table.md", "gradients.md", "page.jpg", "results.json")
_DAMAGED, _CLASSICAL = "damaged", "classical"
# Photos of a batch of the gradients, and of a pass forward.
_BATCH = 80
# Of Wiener deconvolution, between sharpness and noise, and the border that it gets.
_BALANCE, _BORDER = 1e-3, 28
# Of non-local means: the strength as a share of the standard deviation of the noise.
_STRENGTH = 0.6
_HOLES = ("block", "squares", "grid")


def main() -> None:
    """Run the command."""
    folder = output_folder(_OUTPUT.value)
    check_outputs([folder / name for name in _FILES])
    names = names_of_models(_MODEL.value)
    runs = dict(zip(names, map(load_restorer, _MODEL.value), strict=True))
    for name, run in runs.items():
        if run.is_blind:
            raise ConfigError(f"{name} is a blind restorer, expected another network")
    config = next(iter(runs.values())).config
    photos, damaged, arrays = _examples(config)
    results = {_DAMAGED: damaged}
    method = _classical(config.evaluation.damage)
    if method is not None:
        results[_CLASSICAL] = np.stack([method(photo) for photo in damaged])
    for name, run in runs.items():
        parts = [damaged[i : i + _BATCH] for i in range(0, len(damaged), _BATCH)]
        results[name] = np.concatenate([_restored(run, part) for part in parts])
        print(f"{name}: {run.describe()}", flush=True)
    holes = np.zeros(damaged.shape[:-1], bool)
    if config.evaluation.damage.partition(":")[0] in _HOLES:
        holes = (damaged == kinds.MAGENTA).all(-1) & (photos != kinds.MAGENTA).any(-1)
    found = {name: split_psnr(r, photos, holes) for name, r in results.items()}
    table = _table(found, runs)
    gradients = _gradient_table(runs, arrays)
    shown = slice(0, _PICTURES.value)
    columns = {name: enlarge(r[shown], 2) for name, r in results.items()}
    columns["photo"] = enlarge(photos[shown], 2)
    save_jpeg(folder / "page.jpg", picture_grid(columns))
    for name, text in (("table.md", table), ("gradients.md", gradients)):
        with replacing(folder / name) as file:
            file.write(f"{text}\n".encode())
        print(text)
    facts = {"photos": _PHOTOS.value, "damage": config.evaluation.damage}
    metrics = {
        name: {part: summarize(v) for part, v in parts.items()}
        for name, parts in found.items()
    }
    write_results(folder / "results.json", {**facts, "psnr": metrics})


def gradient_norms(objective, params, state, batch) -> dict[str, float]:
    """Norm of the gradient of each kernel over a training batch, by its layer."""
    keys = jax.random.split(jax.random.key(0), len(batch["image"]))

    def loss(params):
        return objective.losses(params, state, batch, keys, True)[0]["all"]

    gradients = jax.jit(jax.grad(loss))(params)
    return {
        layer: float(jnp.linalg.norm(arrays["kernel"]))
        for layer, arrays in gradients.items()
        if "kernel" in arrays
    }


def _examples(config):
    """Photos and damaged photos, both uint8 (n, h, w, 3), and a batch of arrays."""
    source = make_source(_PHOTOS.value)
    count = min(_COUNT.value or len(source), len(source))
    crop = make_crop(config.evaluation.crop, config.evaluation.image_size)
    make = make_example(config, "evaluation")
    examples = [
        make(crop.cut(source[i]), example_generator(0, i)) for i in range(count)
    ]
    arrays = {name: np.stack([e[name] for e in examples]) for name in examples[0]}
    batch = {
        name: jnp.asarray(array[:_BATCH], jnp.float32) for name, array in arrays.items()
    }
    return arrays["image"], arrays["input"], batch


def _restored(run, damaged):
    """Of a batch, rounded as a saved picture."""
    outputs = run.model.apply(run.variables, jnp.asarray(damaged, jnp.float32))
    return np.rint(np.clip(outputs, 0, 255)).astype(np.uint8)


def _classical(damage: str):
    """What was done before networks, uint8 (h, w, 3) to the same; None if unknown."""
    name, _, number = damage.partition(":")
    method = _METHODS.get(name)
    if method is None:
        return None
    number = float(number) if number else 0.0
    return lambda photo: np.rint(np.clip(method(photo, number), 0, 1) * 255).astype(
        np.uint8
    )


def _inpainted(photo, _):
    mask = (photo == kinds.MAGENTA).all(-1)
    return restoration.inpaint_biharmonic(photo / 255, mask, channel_axis=-1)


def _averaged(photo, deviation):
    sizes = {"patch_size": 5, "patch_distance": 6}
    strength = _STRENGTH * deviation / 255
    return restoration.denoise_nl_means(
        photo / 255, h=strength, channel_axis=-1, **sizes
    )


def _enlarged(photo, factor):
    image = Image.fromarray(photo)
    small = [max(1, side // int(factor)) for side in image.size]
    small = image.resize(small, Image.Resampling.NEAREST)
    return np.asarray(small.resize(image.size, Image.Resampling.BILINEAR)) / 255


def _deconvolved(photo, size):
    deviation = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    line = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * deviation**2))
    kernel = np.outer(line, line) / line.sum() ** 2
    # The method takes the photo as periodic.
    border = [(_BORDER, _BORDER)] * 2
    channels = [np.pad(photo[..., c] / 255, border, mode="edge") for c in range(3)]
    found = [restoration.wiener(channel, kernel, _BALANCE) for channel in channels]
    return np.stack(found, axis=-1)[_BORDER:-_BORDER, _BORDER:-_BORDER]


_METHODS = {
    **dict.fromkeys(_HOLES, _inpainted),
    "noise": _averaged,
    "pixelate": _enlarged,
    "blur": _deconvolved,
}


def _table(found, runs) -> str:
    decimals = 2
    names = next(iter(found.values()))
    heads = [h for name in names for h in (f"PSNR {name}, dB", "95 % interval")]
    rows = [["", *heads, "steps", "products, 10^12"]]
    for method, parts in found.items():
        cells = [method]
        for values in parts.values():
            mean = summarize(values)
            interval = interval_text(mean.interval, mean.photos, decimals)
            cells += [f"{mean.mean:.{decimals}f}", interval]
        rows.append([*cells, *_cost(runs.get(method))])
    return markdown_table(rows)


def _cost(run) -> list[str]:
    """Steps of a training, and its products, three times those of a pass forward."""
    if run is None:
        return ["", ""]
    data, products = run.config.data, PRODUCTS.get(run.config.model.name)
    side = data.augmentation.size or data.image_size
    images = examples_seen(data, run.step, run.config.num_steps or run.step)
    work = "" if products is None else f"{3 * products * side**2 * images / 1e12:.2f}"
    return [f"{run.step:,}", work]


def _gradient_table(runs, batch) -> str:
    columns = {}
    for name, run in runs.items():
        objective = from_config(run.config)
        fresh = objective.init(jax.random.key(run.config.seed), batch)
        variables = dict(run.variables)
        trained = variables.pop("params"), variables
        for when, (params, state) in {"new": fresh, "trained": trained}.items():
            columns[f"{name}, {when}"] = gradient_norms(objective, params, state, batch)
    layers = sorted(
        {layer for found in columns.values() for layer in found}, key=_order
    )
    rows = [["layer", *columns]]
    for layer in layers:
        values = [found.get(layer) for found in columns.values()]
        rows.append([layer, *("" if v is None else f"{v:.2g}" for v in values)])
    return markdown_table(rows)


def _order(layer: str) -> tuple:
    """Sorts layers as photos pass them."""
    place, number = re.fullmatch(r"([a-z]+)(.*)", layer).groups()
    level, *rest = [int(n) for n in re.findall(r"[0-9]+", number)] or [0]
    where = ("input", "down", "deepest", "up", "output").index(place)
    if place in ("up", "output"):  # repeated convolutions are in front there
        return where, -level, -sum(rest), number
    return where, level, sum(rest), number


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "photos", "output"])
    command.run(main)
