"""Train, evaluate and export the pair of a block, from any state of its run.

    python -m vgg_unpool_jax release --block=2 --photos=folder:PHOTOS \
        --test_photos=folder:COCO128 [--weights=VGG19.h5] [--max_minutes=60]

The recipe is the variant `:best` of configs/vgg19_blockN.py. The same command resumes
where the last one stopped; each time it evaluates the current state, and writes the
decoder, its model card and the row of the table. See
`vgg_unpool_jax/systems/unpooling/release.py`.
"""

import importlib

import numpy as np
from absl import flags

from experiments.cli import command
from vgg_unpool_jax.data import Split, make_source, source_files
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.load import weight_files
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.systems.unpooling import release

_BLOCK = flags.DEFINE_integer("block", None, "1 to 5.", 1, 5)
_PHOTOS = flags.DEFINE_string("photos", None, "Training photos, such as folder:PATH.")
_TEST_PHOTOS = flags.DEFINE_string("test_photos", None, "Test photos, all of them.")
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "VGG19 weight file; default: see docs/weights.md."
)
_VARIANT = flags.DEFINE_string("variant", "best", "Variant of the config.")
_SHARED_FROM = flags.DEFINE_string(
    "shared_from",
    None,
    "As in the config, or none; default: the config's.",
)
_FOLDER = flags.DEFINE_string("folder", "runs/release", "Folder of all releases.")
_MAX_MINUTES = flags.DEFINE_float(
    "max_minutes", None, "Stop training after this time; the same command resumes."
)


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.runtime.cpu_devices import device_per_core
    from vgg_unpool_jax.training.stages import batch_sizes

    block = _BLOCK.value
    config = importlib.import_module(f"configs.vgg19_block{block}").get_config(
        _VARIANT.value
    )
    config.data.source = _PHOTOS.value
    if _WEIGHTS.value:
        config.encoder.weights = _WEIGHTS.value
    if _SHARED_FROM.value is not None:
        none = _SHARED_FROM.value == "none"
        config.initialize_shared_from = "" if none else _SHARED_FROM.value
    if config.device_per_core:
        device_per_core(*batch_sizes(config.data), config.evaluation.batch_size)
    # Opened before hours of training, so that a wrong path is reported at once.
    source = make_source(_TEST_PHOTOS.value)
    workdir = to_path(_FOLDER.value) / f"block{block}"
    name = f"vgg19-block{block}"
    files = (f"{name}.safetensors", f"{name}.md", index.FILE, "table.md")
    reads = [*source_files(source), *source_files(make_source(_PHOTOS.value))]
    reads += weight_files(config.encoder.weights or None)
    check_outputs([workdir.parent / file for file in files], reads)
    result = release.train(config, workdir, _MAX_MINUTES.value)
    print(f"step {int(result.state.step)} of {result.total_steps} in {workdir}")
    files = release.export_release(
        workdir,
        Split(source, np.arange(len(source))),
        {"source": _TEST_PHOTOS.value},
    )
    print((workdir.parent / "table.md").read_text())
    for file in files:
        print(file)


if __name__ == "__main__":
    flags.mark_flags_as_required(["block", "photos", "test_photos"])
    command.run(main)
