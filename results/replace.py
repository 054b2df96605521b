"""Put a trained decoder into the package if it is better, and renew all that shows it.

    python -m results.replace RUN --photos=FOLDER --test_photos=FOLDER [--hours=H]

RUN is a workdir or a release. Both it and the decoder of its block in the package are
measured, as they are stored, on the validation split of the photos. Only if its L1 is
smaller is it measured on centre crops of 256² of the test photos, stored, entered into
the index and results/pairs.json, and the documents and model cards are renewed. Status
3 if it is not better. The VGG19 weights are those of VGG19_WEIGHTS.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from configs.unpooling import base
from results import __main__ as documents
from results import blocks
from results.package import STAYS
from vgg_unpool_jax.data import Split, make_source, open_splits
from vgg_unpool_jax.evaluation.evaluator import Evaluation
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.card import check_results
from vgg_unpool_jax.releases.file import read_metadata
from vgg_unpool_jax.runtime.cpu_devices import device_per_core
from vgg_unpool_jax.systems.unpooling.pair import Pair, load_pair
from vgg_unpool_jax.systems.unpooling.release import photos_seen
from vgg_unpool_jax.training.stages import examples_seen, make_stages

# How the package stores a block: the deep decoders, which are most of its size, in a
# quarter of float32.
DTYPES = {1: "float16", 2: "float16", 3: "float16", 4: "int8", 5: "int8"}


def main() -> int:
    """Run the command."""
    options = parse()
    device_per_core(8)
    return 0 if replace(options) else STAYS


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command line; None for that of this process."""
    parser = argparse.ArgumentParser(
        "python -m results.replace",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run")
    parser.add_argument("--photos", required=True, help="folder with training photos")
    parser.add_argument("--test_photos", required=True, help="folder")
    parser.add_argument("--hours", type=float, help="of training on the hardware")
    return parser.parse_args(arguments)


def replace(options: argparse.Namespace) -> bool:
    """Replace the decoder of the package if that of `options.run` is better."""
    run = load_pair(options.run)
    name = f"vgg19-block{run.block}"
    config = base.make_config(run.block)
    config.data.source = f"folder:{options.photos}"
    validation = open_splits(config.data)["validation"]
    facts = _facts(run, options.hours)
    with tempfile.TemporaryDirectory() as aside:
        path = pathlib.Path(aside) / f"{name}.safetensors"
        run.export(path, dtype=DTYPES[run.block], facts=facts)
        how = {
            "crop": config.evaluation.crop,
            "image_size": config.evaluation.image_size,
        }
        ours = load_pair(path).evaluate(validation, **how)
        print(f"{options.run}: L1 {_l1(ours):.3f} of {len(validation.indices)} photos")
        if name in index.packaged_names():
            theirs = load_pair(name).evaluate(validation, **how)
            print(f"{name}: L1 {_l1(theirs):.3f}")
            if _l1(theirs) <= _l1(ours):
                print(f"{name} stays")
                return False
        source = make_source(f"folder:{options.test_photos}")
        photos = Split(source, np.arange(len(source)))
        test = load_pair(path).evaluate(photos, image_size=256)
        print(f"test photos: L1 {_l1(test):.3f}")
        results = {
            **test.to_dict(),
            "source": f"folder:{options.test_photos}",
            "crop": run.crop,
            "image_size": 256,
            "training_steps": run.step,
            "released_decoder": {"file": path.name},
        }
        results = json.loads(json.dumps(results, default=dataclasses.asdict))
        check_results(read_metadata(path), results)
        with replacing(index.PACKAGE / path.name) as file:
            file.write(path.read_bytes())
    index.register(index.PACKAGE / path.name, results=results, licence="MIT")
    _note(options.run, run, facts)
    documents.write()
    return True


def _l1(evaluation: Evaluation) -> float:
    return evaluation.metrics["l1"].mean


def _runs(run: Pair) -> list[Pair]:
    """A run, and in front of it those that it goes on from."""
    origin = run.config.get("initialize_from", "")
    return [*(_runs(load_pair(origin)) if origin else ()), run]


def _crops(run: Pair) -> list[str]:
    """Sizes of the crops of all stages, also of runs that it goes on from."""
    found = []
    for part in [run] if run.release is not None else _runs(run):
        data = part.config.data
        stages = make_stages(data, part.config.num_steps or part.step)
        begun = [stage for stage in stages if stage.first_step < part.step]
        found += [f"{stage.batch_size} of {stage.image_size}²" for stage in begun]
    return found


def _facts(run: Pair, hours: float | None) -> dict:
    """What is stored with the decoder; a release brings its own."""
    facts = {"photos_seen": photos_seen(run)}
    if run.release is not None:
        facts = {**run.release["facts"], **facts}
    if hours is not None:
        facts["training_hours"] = hours
        facts["training_hardware"] = provenance(run.config)["hardware"]
    return facts


def _note(origin: str, run: Pair, known: dict) -> None:
    """Enter what the index does not hold into results/pairs.json.

    Args:
      origin: folder of the run.
      run: of it.
      known: as from `_facts`.
    """
    facts = blocks.read("pairs")
    pair = facts["pairs"][f"block{run.block}"]
    for key in ("batch_size", "crop", "metrics", "photos", "border_ratio", "steps"):
        pair.pop(key, None)  # now in the index, or replaced by what follows
    pair["photos_seen"] = known["photos_seen"]
    shared_from = run.config.get("initialize_shared_from", "")
    goes_on = run.release is None and shared_from == f"vgg19-block{run.block}"
    earlier = pair["crops"] if goes_on else []
    pair["crops"] = [*dict.fromkeys([*earlier, *_crops(run)])]
    pair["hours"] = known.get("training_hours")
    hardware = known.get("training_hardware", {})
    pair.pop("hardware", None)
    if hardware.get("platform", "cpu") != "cpu":
        pair["hardware"] = f"one {hardware['device_kind']}"
    history = pathlib.Path(origin) / "validation.json"
    if history.exists():
        data, total = run.config.data, run.config.num_steps or run.step
        before = pair["photos_seen"] - examples_seen(data, run.step, total)
        pair["validation_l1"] = {
            str(before + examples_seen(data, entry["step"], total)): round(
                entry["metrics"]["photo_l1"], 2
            )
            for entry in json.loads(history.read_text())["validations"]
        }
    blocks.write("pairs", facts)


if __name__ == "__main__":
    sys.exit(main())
