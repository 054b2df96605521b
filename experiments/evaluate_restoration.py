"""Measure restorers over whole photos that are damaged first, all in the same way.

    python -m vgg_unpool_jax evaluate_restoration --model=NAME_OR_WORKDIR \
        --photos=folder:CBSD68 --damage=noise:25:unclipped --output=FOLDER

PSNR and SSIM of results that are rounded to uint8, means with 95 % intervals, beside
the damaged photos themselves. Several models and damages are separated by commas,
--photos may be repeated. Writes results.json, table.md and page.jpg, of each source
with each damage in a folder of its own if there are several. Published tables have
noise:SIGMA:unclipped, and JPEG of colour photos or, with --gray, of their luma. With
networks of other programs: `python -m benchmarks.restoration`.
"""

import functools

from absl import flags

from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from vgg_unpool_jax.systems.saved import model_files

_MODEL = define_path_list("model", None, "Names, released files or workdirs.")
_PHOTOS = flags.DEFINE_multi_string(
    "photos", None, "Photos, such as folder:PATH, all; may be given several times."
)
_DAMAGE = flags.DEFINE_list("damage", None, "As of the command `damage`, with commas.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the report.")
_GRAY = flags.DEFINE_bool("gray", False, "Reduce photos to their luma first.")
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of the damage.", lower_bound=0)
_PICTURES = flags.DEFINE_integer(
    "pictures", 4, "Number of photos on the page.", lower_bound=0
)


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.systems.restoration import table
    from vgg_unpool_jax.systems.restoration.trained import load_restorer

    folders = table.report_folders(_OUTPUT.value, _PHOTOS.value, _DAMAGE.value)
    reads = [path for model in _MODEL.value for path in model_files(model)]
    table.check_reports(folders, reads)
    methods = {}
    for model in _MODEL.value:
        restorer = load_restorer(model)
        print(restorer.describe(), flush=True)
        methods[model] = lambda damaged, r=restorer: r.restore(damaged.photo)
    report = table.write_reports(
        folders,
        methods,
        seed=_SEED.value,
        gray=_GRAY.value,
        pictures=_PICTURES.value,
        progress=functools.partial(print, flush=True),
    )
    print(report)


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "photos", "damage", "output"])
    command.run(main)
