"""Put a trained generator into the package, measured as it is stored, with its card.

    python -m results.inverter RUN --name=invert-alexnet-conv5 --photos=FOLDER \
        [--dtype=int8] [--hours=H]

RUN is a workdir of the system deepsim; the photos must not be those of its training.
LPIPS and DISTS are measured where their weights are. If the package has a generator of
that name with a smaller LPIPS (or L1, without weights), it stays; status 1 then.
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
from vgg_unpool_jax.systems.deepsim.trained import load_inverter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; None takes the command line of this process."""
    parser = argparse.ArgumentParser(
        "python -m results.inverter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run")
    parser.add_argument("--name", required=True)
    parser.add_argument("--photos", required=True, help="folder with test photos")
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--hours", type=float, help="of training on the hardware")
    options = parser.parse_args(arguments)
    run, facts = load_inverter(options.run), {}
    if options.hours is not None:
        hardware = provenance(run.config)["hardware"]
        facts = {"training_hours": options.hours, "training_hardware": hardware}
    with tempfile.TemporaryDirectory() as aside:
        path = pathlib.Path(aside) / f"{options.name}.safetensors"
        run.export(path, dtype=options.dtype, facts=facts)
        results = _measure(path, options.photos, aside)
        if options.name in index.packaged_names("deepsim"):
            theirs = _measure(options.name, options.photos, aside)
            if _error(theirs) <= _error(results):
                print(f"{options.name} stays")
                return 1
        with replacing(index.PACKAGE / path.name) as file:
            file.write(path.read_bytes())
    results |= {"training_steps": run.step, "released_decoder": {"file": path.name}}
    index.register(index.PACKAGE / path.name, results=results, licence="MIT")
    documents.write()
    return 0


def _measure(model: str | pathlib.Path, photos: str, aside: str) -> dict:
    """The result file of a released generator."""
    inverter, source = load_inverter(model), make_source(f"folder:{photos}")
    part = Split(source, np.arange(len(source)))
    score = inverter.evaluate(part, perceptual=available_metrics()[0])
    print(f"{model}\n{score.report()}")
    path = pathlib.Path(aside) / "results.json"
    facts = {"source": f"folder:{photos}", "crop": inverter.crop}
    write_results(path, {**score.to_dict(), **facts})
    return json.loads(path.read_text())


def _error(results: dict) -> float:
    metrics = results["metrics"]
    return metrics.get("lpips", metrics["l1"])["mean"]


if __name__ == "__main__":
    sys.exit(main())
