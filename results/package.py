"""Put a trained model into the package if it is better, and write its card.

    python -m results.package RUN --name=restore-photos --photos=FOLDER \
        [--crop=whole] [--image_size=S] [--damage=noise:25:unclipped] \
        [--dtype=float16] [--metric=psnr] [--hours=H] [--trained_on=TEXT]

RUN is a workdir of any system but the pairs, for which there is `results.replace`. The
model is measured as it is stored, over photos that must not be those of its training,
by default on the crops of its own evaluation; LPIPS and DISTS where their weights are.
If the package has a model of that name, it is measured too, and stays unless its metric
is worse, or for a codec, unless its estimated rate at equal PSNR is larger; status 3
then.
"""

import argparse
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from results import __main__ as documents
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.evaluation.perceptual import available_metrics
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.card import check_results
from vgg_unpool_jax.releases.file import read_metadata
from vgg_unpool_jax.systems import find, load_trained
from vgg_unpool_jax.systems.codec.rate_distortion import Point, bd_rate

# Status of a command that found the model of the package better.
STAYS = 3
# Metrics that decide, if not the PSNR; the first that was measured.
_METRICS = {
    "colorization": ("ciede2000",),
    "deepsim": ("lpips", "l1"),
    "super_resolution": ("psnr_y",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; None takes the command line of this process."""
    parser = argparse.ArgumentParser(
        "python -m results.package",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run")
    parser.add_argument("--name", required=True)
    parser.add_argument("--photos", required=True, help="folder with test photos")
    parser.add_argument("--crop", help="of the test photos")
    parser.add_argument("--image_size", type=int, help="of the crops")
    parser.add_argument("--damage", help="of the test photos of a restorer")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--metric", help="that decides")
    parser.add_argument("--hours", type=float, help="of training on the hardware")
    parser.add_argument("--trained_on", help="the training photos, for the card")
    options = parser.parse_args(arguments)
    run, facts = load_trained(options.run), {}
    system, known = run.config.system, index.read(index.PACKAGE)
    if options.name in known and known[options.name].facts["system"] != system:
        parser.error(
            f"--name={options.name} is a model of the system "
            f"{known[options.name].facts['system']}, and {options.run} of {system}"
        )
    if options.trained_on:
        facts["training_photos"] = options.trained_on
    if options.hours is not None:
        hardware = provenance(run.config)["hardware"]
        facts |= {"training_hours": options.hours, "training_hardware": hardware}
    with tempfile.TemporaryDirectory() as aside:
        path = pathlib.Path(aside) / f"{options.name}.safetensors"
        run.export(path, dtype=options.dtype, facts=facts)
        results = _measure(path, options, aside)
        if options.name in index.packaged_names(system):
            theirs = _measure(options.name, options, aside)
            if not _is_better(results, theirs, system, options.metric):
                print(f"{options.name} stays")
                return STAYS
        results |= {"training_steps": run.step, "released_decoder": {"file": path.name}}
        check_results(read_metadata(path), results)
        with replacing(index.PACKAGE / path.name) as file:
            file.write(path.read_bytes())
    index.register(index.PACKAGE / path.name, results=results, licence="MIT")
    documents.write()
    return 0


def _measure(model: str | pathlib.Path, options, aside: str) -> dict:
    """The result file of a released model."""
    trained, source = load_trained(model), make_source(f"folder:{options.photos}")
    how = {"crop": options.crop or trained.crop}
    facts = {"source": f"folder:{options.photos}", **how}
    if options.damage:
        trained.config.evaluation.damage = facts["damage"] = options.damage
    if options.image_size:
        how["image_size"] = options.image_size
    part = Split(source, np.arange(len(source)))
    score = trained.evaluate(part, perceptual=available_metrics()[0], **how)
    print(f"{model}\n{score.report()}")
    path = pathlib.Path(aside) / "results.json"
    write_results(path, {**score.to_dict(), **facts})
    return json.loads(path.read_text())


def _is_better(ours: dict, theirs: dict, system: str, metric: str | None) -> bool:
    if system == "codec":
        change = bd_rate(_points(ours), _points(theirs))
        return change is not None and change < 0
    names = [metric] if metric else _METRICS.get(system, ("psnr",))
    name = next(name for name in names if name in ours["metrics"])
    info = find(system).make_report.metrics[name]
    means = (float(results["metrics"][name]["mean"]) for results in (ours, theirs))
    difference = np.subtract(*means)
    return difference > 0 if info.larger_is_better else difference < 0


def _points(results: dict) -> list[Point]:
    """The estimated curve of a codec."""
    return [
        Point(
            p["quality"], p["bits_per_pixel"], p["bits_per_pixel"], p["psnr"], {}, 0, 0
        )
        for p in results["estimated"]
    ]


if __name__ == "__main__":
    sys.exit(main())
