"""Put a trained restorer into the package if it is better, and write its card.

    python -m results.restorer RUN --photos=FOLDER [--name=restore-photos] \
        [--damage=noise:25:unclipped] [--hours=H]

RUN is a workdir. Its restorer is measured as it is stored, in float16, over the whole
photos, which must not be those of the training. If the package has a restorer of that
name, it is measured too, and stays unless its PSNR is smaller; status 1 then.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from results import __main__ as documents
from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.data.damage import make_damage
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.systems.restoration import table
from vgg_unpool_jax.systems.restoration.trained import load_restorer


def main() -> int:
    """Run the command."""
    return 0 if replace(parse()) else 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command line; None for that of this process."""
    parser = argparse.ArgumentParser(
        "python -m results.restorer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run")
    parser.add_argument("--photos", required=True, help="folder with test photos")
    parser.add_argument("--name", default="restore-photos")
    parser.add_argument("--damage", default="noise:25:unclipped")
    parser.add_argument("--hours", type=float, help="of training on the hardware")
    return parser.parse_args(arguments)


def replace(options: argparse.Namespace) -> bool:
    """Put the restorer `options.run` into the package if it is better."""
    run = load_restorer(options.run)
    facts = {}
    if options.hours is not None:
        hardware = provenance(run.config)["hardware"]
        facts = {"training_hours": options.hours, "training_hardware": hardware}
    with tempfile.TemporaryDirectory() as aside:
        path = pathlib.Path(aside) / f"{options.name}.safetensors"
        run.export(path, dtype="float16", facts=facts)
        ours = _measure(path, options)
        if options.name in index.packaged_names("restoration"):
            theirs = _measure(options.name, options)
            if theirs["psnr"].mean >= ours["psnr"].mean:
                print(f"{options.name} stays")
                return False
        with replacing(index.PACKAGE / path.name) as file:
            file.write(path.read_bytes())
    results = {
        "metrics": ours,
        "source": f"folder:{options.photos}",
        "damage": options.damage,
        "training_steps": run.step,
        "released_decoder": {"file": path.name},
    }
    results = json.loads(json.dumps(results, default=dataclasses.asdict))
    index.register(index.PACKAGE / path.name, results=results, licence="MIT")
    documents.write()
    return True


def _measure(model: str | pathlib.Path, options: argparse.Namespace) -> dict:
    """Mean PSNR and SSIM of a released restorer."""
    restorer = load_restorer(model)
    source = make_source(f"folder:{options.photos}")
    methods = {"restorer": lambda damaged: restorer.restore(damaged.photo)}
    scores = table.score_photos(methods, source, make_damage(options.damage))
    found = table.summarize_scores([score.numbers() for score in scores])["restorer"]
    print(f"{model}: {found['psnr'].mean:.2f} dB of {len(source)} photos")
    return found


if __name__ == "__main__":
    sys.exit(main())
