"""Evaluate a trained system over photos, each of which counts once.

    python -m vgg_unpool_jax evaluate --workdir=W --source=folder:PHOTOS

Prints tables; writes results.json, pictures/*.png and both for TensorBoard into the
workdir; of a released decoder, results and pictures to --output. results.json has the
metrics of each photo, by which --against compares two models in pairs. A pair: L1, L2,
PSNR, SSIM, MS-SSIM, LPIPS and DISTS where their weights are, border, colour cast and
grid of reconstructions clipped to [0, 255]. A VAE: also PCC, ELBO, active units, its
latent space, with --weights Fréchet distances. A DeePSiM generator: also inversion
errors in image and feature space, spectrum.
"""

import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.perceptual_flag import define_perceptual, load_perceptual
from experiments.cli.unused import note_unused
from vgg_unpool_jax.data import SPLITS, Split, make_source, open_splits, source_files
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.results import format_table
from vgg_unpool_jax.evaluation.statistics import paired_differences
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.systems import load_trained
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.training import run_photos

_WORKDIR = flags.DEFINE_string("workdir", None, "Training run, or released decoder.")
_SOURCE = flags.DEFINE_string(
    "source",
    None,
    "Photos: folder:PATH, zip:PATH, tfds:NAME[:SPLIT] or samples, all of them. Without "
    "it a part of the photos that the config names.",
)
_PART = flags.DEFINE_enum("part", "test", SPLITS, "Which part, without --source.")
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of crops; default: 256, of a VAE its own.", lower_bound=1
)
_CROP = flags.DEFINE_string(
    "crop", None, "center (native size), center_resize, center_resize:PIXELS or whole."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Photos at a time.", lower_bound=1)
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: trained with.")
_PERCEPTUAL = define_perceptual("perceptual")
_OUTPUT = flags.DEFINE_string("output", None, "Result file; WORKDIR/results.json.")
_AGAINST = flags.DEFINE_string(
    "against", None, "Result file of another model on these photos, to compare with."
)


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.runtime.cpu_devices import device_per_core
    from vgg_unpool_jax.systems.results import (
        evaluation_files,
        results_file,
        write_evaluation,
    )

    workdir = _WORKDIR.value
    output = results_file(workdir, _OUTPUT.value)
    model = model_files(workdir, _WEIGHTS.value)
    others = _read_others()
    if others:
        model.append(to_path(_AGAINST.value))
    check_outputs(evaluation_files(workdir, output), model)
    device_per_core(_BATCH_SIZE.value)
    if not _SOURCE.value and index.find(workdir):
        raise ConfigError(f"{workdir} is a released decoder: name photos with --source")
    trained = load_trained(workdir, _WEIGHTS.value)
    data = trained.config.get("data", {})  # a pair of other programs has none
    part = _whole() if _SOURCE.value else open_splits(data)[_PART.value]
    if not _SOURCE.value:
        run_photos.compare(workdir, {_PART.value: part})
    check_outputs(evaluation_files(workdir, output), source_files(part.source))
    if not len(part.indices):
        raise ConfigError(
            f"this run has no photos in its {_PART.value} part: take another --part "
            f"({', '.join(SPLITS)}) or a --source"
        )
    names = (part.source.name(int(index)) for index in part.indices)
    if others and others.keys().isdisjoint(names):
        raise ConfigError(f"{_AGAINST.value} has no photo of {part.source!r}")
    if _SOURCE.value:
        note_unused("--source names the photos", "part")
    if (_CROP.value or trained.crop) == "whole":
        note_unused("whole photos are taken one by one", "image_size", "batch_size")
    options = {"image_size": _IMAGE_SIZE.value, "crop": _CROP.value}
    options["max_broken_share"] = data.get("max_broken_share")
    score = trained.evaluate(
        part,
        perceptual=load_perceptual(_PERCEPTUAL.value),
        batch_size=_BATCH_SIZE.value,
        **{name: value for name, value in options.items() if value is not None},
    )
    facts = {
        "source": _SOURCE.value or f"{_PART.value} part of {part.source!r}",
        "crop": _CROP.value or trained.crop,
    }
    results, *pictures = write_evaluation(workdir, trained, score, facts, output)
    print(f"{trained.describe()}\n{score.report()}\nresults: {results}")
    if others:
        found = paired_differences(score.photos, others)
        known = {k: v for k, v in score.system_report.metrics.items() if k in found}
        print(f"minus {_AGAINST.value}, photo by photo:\n{format_table(found, known)}")
    for picture in pictures:
        print(f"picture: {picture}")


def _read_others() -> dict:
    """Metrics of each photo of the result file of another model."""
    if not _AGAINST.value:
        return {}
    photos = json_file.read(_AGAINST.value, "a result file").get("photos")
    if not isinstance(photos, dict) or not photos:
        raise ConfigError(f"{_AGAINST.value} has no metrics of single photos")
    return photos


def _whole() -> Split:
    source = make_source(_SOURCE.value)
    return Split(source, np.arange(len(source)))


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    command.run(main)
