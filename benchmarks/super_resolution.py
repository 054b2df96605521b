"""Measure upscalers beside RFDN and SPAN on the same reduced photos, and the time.

    python -m benchmarks.super_resolution --model=NAME_OR_WORKDIR --photos=folder:SET5 \
        --peers=rfdn=rfdn_aim_x4.pth,span=span_ntire_x4.pth --perceptual=lpips \
        --output=FOLDER

Photos are cut to multiples of the factor and reduced by MATLAB's bicubic kernel; PSNR
is that of the luma without as many pixels at the border as the factor, after rounding.
Sharpness is the mean gradient of the luma in shares of the photo's. Seconds are medians
for a photo of 256×256 pixels, with all methods in turn, in one process on all cores.

A model may be several in turn, joined by +, such as runs/by4+runs/by2. --restorers are
networks of restoration for `pixelate:FACTOR`, which get photos with that damage.
"""

import math
import time

import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from experiments.cli.perceptual_flag import define_perceptual, load_perceptual
from vgg_unpool_jax.data import make_source, source_files
from vgg_unpool_jax.data.bicubic import reduce_bicubic, resize_bicubic
from vgg_unpool_jax.data.damage.grammar import make_damage
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.metrics import PERCEPTUAL_METRICS
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.evaluation.statistics import interval_text, summarize
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.runtime.cpu_devices import core_count
from vgg_unpool_jax.systems.restoration.trained import load_restorer
from vgg_unpool_jax.systems.super_resolution.report import mean_gradient, psnr_y
from vgg_unpool_jax.systems.super_resolution.trained import load_upscaler

_MODEL = define_path_list("model", [], "Names, released files or workdirs.")
_RESTORERS = define_path_list("restorers", [], "Workdirs, for pixelated photos.")
_PEERS = define_path_list("peers", [], "rfdn=FILE.pth, span=FILE.pth")
_PHOTOS = flags.DEFINE_string("photos", None, "Photos, such as folder:PATH, all.")
_PERCEPTUAL = define_perceptual("perceptual")
_FACTOR = flags.DEFINE_integer("factor", 4, "Of the sides.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for results.json.")
_SIDE, _REPETITIONS = 256, 5


def main() -> None:
    """Run the command."""
    output = output_folder(_OUTPUT.value) / "results.json"
    source = make_source(_PHOTOS.value)
    check_outputs([output], source_files(source))
    factor = _FACTOR.value
    methods = {"bicubic": lambda photo: _bicubic(photo, factor)}
    for path in _MODEL.value:
        methods[path] = _load_chain(path, factor)
    for peer in _PEERS.value:
        methods[peer.partition("=")[0]] = _load_peer(peer, factor)
    pixelate = make_damage(f"pixelate:{factor}")
    restorers = {path: load_restorer(path) for path in _RESTORERS.value}
    metrics = load_perceptual(_PERCEPTUAL.value)
    found = {name: {} for name in (*methods, *restorers)}
    for number in range(len(source)):
        photo = source[number]
        height, width = (side - side % factor for side in photo.shape[:2])
        photo = photo[:height, :width]
        reduced = reduce_bicubic(photo, factor)
        results = {name: method(reduced) for name, method in methods.items()}
        for name, restorer in restorers.items():
            damaged = pixelate(photo, np.random.default_rng(0)).photo
            results[name] = restorer.restore(damaged)
        for name, result in results.items():
            values = _measure(result, photo, factor, metrics)
            for metric, value in values.items():
                found[name].setdefault(metric, []).append(value)
        shown = ", ".join(
            f"{name} {values['psnr_y'][-1]:.2f}" for name, values in found.items()
        )
        print(f"[{number + 1}/{len(source)}] {source.name(number)} {shown}", flush=True)
    seconds = _seconds(methods)
    titles = {"psnr_y": ("PSNR-Y, dB", 2), "sharpness": ("sharpness", 2)}
    for metric in metrics:
        titles[metric.name] = PERCEPTUAL_METRICS[metric.name].title, 3
    rows = [("method", *(title for title, _ in titles.values()), "seconds")]
    for name, values in found.items():
        cells = []
        for metric, (_, digits) in titles.items():
            summary = summarize(np.asarray(values[metric]))
            interval = interval_text(summary.interval, summary.photos, digits)
            cells.append(f"{summary.mean:.{digits}f} ({interval})")
        time_text = f"{seconds[name]:.3f}" if name in seconds else ""
        rows.append((name, *cells, time_text))
    print(markdown_table(rows))
    facts = {"photos": _PHOTOS.value, "factor": factor, "cores": core_count()}
    write_results(output, facts | {"metrics": found, "seconds": seconds})


def _measure(enlarged, photo, factor, metrics) -> dict[str, float]:
    """Values of one photo by metric."""
    pair = [jnp.asarray(a, jnp.float32)[None] for a in (enlarged, photo)]
    gradients = [float(mean_gradient(images)[0]) for images in pair]
    values = {
        "psnr_y": float(psnr_y(*pair, border=factor)[0]),
        "sharpness": gradients[0] / gradients[1],
    }
    pair[0] = jnp.clip(pair[0], 0.0, 255.0)
    return values | {metric.name: float(metric(*pair)[0]) for metric in metrics}


def _bicubic(photo: np.ndarray, factor: int) -> np.ndarray:
    height, width = photo.shape[:2]
    return resize_bicubic(photo, factor * height, factor * width)


def _load_chain(named: str, factor: int):
    upscalers = [load_upscaler(path) for path in named.split("+")]
    if math.prod(upscaler.factor for upscaler in upscalers) != factor:
        factors = " and ".join(str(upscaler.factor) for upscaler in upscalers)
        raise ConfigError(f"{named} enlarges by {factors}, expected {factor}")

    def enlarge(photo):
        for upscaler in upscalers:
            photo = upscaler.upscale(photo)
        return photo

    return enlarge


def _load_peer(named: str, factor: int):
    import torch

    from benchmarks.super_resolution_peers import FACTOR, PEERS

    kind, _, path = named.partition("=")
    if kind not in PEERS or factor != FACTOR:
        raise ConfigError(
            f"a peer is one of {', '.join(PEERS)} and enlarges by {FACTOR}, got "
            f"{named} for the factor {factor}"
        )
    torch.set_num_threads(core_count())
    return PEERS[kind](path)


def _seconds(methods) -> dict[str, float]:
    """Medians, after a first call of each."""
    photo = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    found = {name: [] for name in methods}
    for _ in range(_REPETITIONS + 1):
        for name, method in methods.items():
            began = time.perf_counter()
            method(photo)
            found[name].append(time.perf_counter() - began)
    return {name: float(np.median(values[1:])) for name, values in found.items()}


if __name__ == "__main__":
    flags.mark_flags_as_required(["photos", "output"])
    command.run(main)
