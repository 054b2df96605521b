"""Measure restorers beside DnCNN and FFDNet on the same damaged photos, and the time.

    python -m benchmarks.restoration --model=NAME_OR_WORKDIR \
        --photos=folder:CBSD68 --photos=folder:KODAK --photos=folder:MCMASTER \
        --damage=noise:15:unclipped,noise:25:unclipped,noise:50:unclipped \
        --output=FOLDER --peers=dncnn=dncnn_color_sigma25.mat,ffdnet=ffdnet_color.mat

As the command `evaluate_restoration`. FFDNet is told the true noise. With --time also
seconds and peak memory for one photo of that many megapixels, each method in a process
of its own, all on the same cores.
"""

import functools
import json
import multiprocessing
import os
import time

import numpy as np
from absl import flags

from benchmarks.harness import names_of_models
from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from vgg_unpool_jax.data.damage import Damaged
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.runtime.cpu_devices import core_count
from vgg_unpool_jax.runtime.memory import peak_resident_bytes
from vgg_unpool_jax.systems.restoration import table
from vgg_unpool_jax.systems.restoration.trained import load_restorer

_MODEL = define_path_list("model", [], "Names, released files or workdirs.")
_PEERS = define_path_list("peers", [], "dncnn=FILE.mat, ffdnet=FILE.mat")
_PHOTOS = flags.DEFINE_multi_string("photos", [], "As of `evaluate_restoration`.")
_DAMAGE = flags.DEFINE_list("damage", ["noise:25:unclipped"], "As of `damage`.")
_OUTPUT = flags.DEFINE_string("output", "report", "Folder for the reports.")
_GRAY = flags.DEFINE_bool("gray", False, "Reduce the photos to their luma first.")
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of the damage.", lower_bound=0)
_TIME = flags.DEFINE_float("time", 0.0, "Megapixels; 0 measures no times.", 0.0)
_REPETITIONS = 5


def main() -> None:
    """Run the command."""
    names_of_models(_MODEL.value)
    names = [f"ours={model}" for model in _MODEL.value] + _PEERS.value
    if _TIME.value:
        print(_time_table(names))
    if not _PHOTOS.value:
        return
    folders = table.report_folders(_OUTPUT.value, _PHOTOS.value, _DAMAGE.value)
    table.check_reports(folders, [])
    report = table.write_reports(
        folders,
        {_title(name): _load(name) for name in names},
        seed=_SEED.value,
        gray=_GRAY.value,
        pictures=4,
        progress=functools.partial(print, flush=True),
    )
    print(report)


def _title(name: str) -> str:
    kind, _, path = name.partition("=")
    return os.path.basename(path.rstrip("/")) if kind == "ours" else kind


def _load(name: str):
    """A method of `table`, from NAME=FILE."""
    kind, _, path = name.partition("=")
    if kind == "ours":
        restorer = load_restorer(path)
        return lambda damaged: restorer.restore(damaged.photo)
    from benchmarks.restoration_peers import PEERS

    if kind not in PEERS:
        raise ConfigError(f"a peer is one of {', '.join(PEERS)}, got {name}")
    restore = PEERS[kind](path)
    return lambda damaged: restore(damaged.photo, damaged.noise)


def _time_table(names) -> str:
    rows = [["method", "seconds", "seconds a megapixel", "memory added, GiB"]]
    context = multiprocessing.get_context("spawn")
    for name in names:
        receiver, sender = context.Pipe(duplex=False)
        arguments = (sender, name, _TIME.value)
        process = context.Process(target=_time, args=arguments)
        process.start()
        sender.close()
        try:
            seconds, added = json.loads(receiver.recv())
        except EOFError:
            raise ConfigError(f"{name} could not be timed, see above") from None
        process.join()
        rows.append(
            [
                _title(name),
                f"{seconds:.2f}",
                f"{seconds / _TIME.value:.2f}",
                f"{added / 2**30:.2f}",
            ]
        )
    return markdown_table(rows)


def _time(sender, name: str, megapixels: float) -> None:
    """Median seconds of one photo after the first call; in a process of its own."""
    method = _load(name)
    if not name.startswith("ours="):
        import torch

        torch.set_num_threads(core_count())
    side = int((megapixels * 1e6) ** 0.5) // 64 * 64
    photo = np.random.default_rng(0).uniform(0, 255, (side, side, 3))
    damaged = Damaged(photo.astype(np.float32), 25.0, 100.0)
    before = peak_resident_bytes() or 0
    seconds = []
    for _ in range(_REPETITIONS + 1):
        began = time.perf_counter()
        method(damaged)
        seconds.append(time.perf_counter() - began)
    added = (peak_resident_bytes() or 0) - before
    pixels = side * side / 1e6 / megapixels
    sender.send(json.dumps([float(np.median(seconds[1:])) / pixels, added]))
    os._exit(0)  # without the threads of either library


if __name__ == "__main__":
    command.run(main)
