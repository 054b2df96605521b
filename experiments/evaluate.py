"""Evaluate a trained pair: L1, L2, PSNR, SSIM and MS-SSIM, averaged over photos.

    python -m experiments.evaluate --workdir=W --source=folder:PHOTOS --image_size=256

Every photo counts once, with its centre crop in native resolution; reconstructions are
clipped to [0, 255]. Prints a table and writes results.json and pictures/evaluation.png
(one photo a column: input, reconstruction, eightfold error) into the workdir.
"""

import pathlib

import numpy as np
from absl import flags

from experiments import command
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.data import TEST_CROPS, make_source, split_indices
from vgg_unpool_jax.evaluation import (
    evaluate_reconstruction,
    provenance,
    save_png,
    write_results,
)

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run.")
_SOURCE = flags.DEFINE_string(
    "source",
    None,
    "Photos: folder:PATH, zip:PATH, tfds:NAME[:SPLIT] or samples, all of them. Without "
    "it the test split of the training photos.",
)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 256, "Side of crops.", lower_bound=1)
_CROP = flags.DEFINE_enum(
    "crop", "center", TEST_CROPS, "Native size, or the largest square resized."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Photos at a time.", lower_bound=1)
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: trained with.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Result file; default WORKDIR/results.json."
)


def main() -> None:
    """Run the command."""
    workdir = pathlib.Path(_WORKDIR.value)
    pair = load_pair(workdir, _WEIGHTS.value)
    data = pair.config.data
    source = make_source(_SOURCE.value or data.source)
    split = split_indices(len(source), data.split_fractions, seed=data.split_seed)
    indices = split.test if _SOURCE.value is None else np.arange(len(source))
    score = evaluate_reconstruction(
        pair.reconstruct,
        source,
        indices,
        image_size=_IMAGE_SIZE.value,
        crop=_CROP.value,
        batch_size=_BATCH_SIZE.value,
        max_broken_share=data.max_broken_share,
    )
    results = {
        **score.to_dict(),
        "source": _SOURCE.value or f"test split of {data.source}",
        "crop": _CROP.value,
        "vgg19_weights": pair.record,
        "training_steps": pair.step,
        "provenance": provenance(pair.config, workdir=workdir),
    }
    output = pathlib.Path(_OUTPUT.value or workdir / "results.json")
    write_results(output, results)
    picture = workdir / "pictures" / "evaluation.png"
    save_png(picture, score.picture())
    print(f"block {pair.block} after {pair.step} steps, VGG19 {pair.record['origin']}")
    print(score.report())
    print(f"results: {output}\npicture: {picture}")


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    command.run(main)
