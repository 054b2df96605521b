"""Measure restorers over whole photos that are damaged first, all in the same way.

    python -m vgg_unpool_jax evaluate_restoration --model=NAME_OR_WORKDIR \
        --photos=folder:CBSD68 --damage=noise:25:unclipped --output=FOLDER

PSNR and SSIM of results that are rounded to uint8, means with 95 % intervals, beside
the damaged photos themselves. Several models are separated by commas. Writes
results.json, table.md and page.jpg. Published tables have noise:SIGMA:unclipped, and
JPEG of colour photos or, with --gray, of their luma. Networks of other programs:
`python -m benchmarks.restoration`.
"""

from absl import flags

from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from vgg_unpool_jax.data import make_source, source_files
from vgg_unpool_jax.data.damage import make_damage
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.systems.restoration import table
from vgg_unpool_jax.systems.restoration.trained import load_restorer
from vgg_unpool_jax.systems.saved import model_files

_MODEL = define_path_list("model", None, "Names, released files or workdirs.")
_PHOTOS = flags.DEFINE_string("photos", None, "Photos, such as folder:PATH, all.")
_DAMAGE = flags.DEFINE_string("damage", None, "As of the command `damage`.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the report.")
_GRAY = flags.DEFINE_bool("gray", False, "Reduce photos to their luma first.")
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of the damage.", lower_bound=0)
_PICTURES = flags.DEFINE_integer(
    "pictures", 4, "Number of photos on the page.", lower_bound=0
)


def main() -> None:
    """Run the command."""
    damage = make_damage(_DAMAGE.value)
    folder, source = output_folder(_OUTPUT.value), make_source(_PHOTOS.value)
    reads = [*source_files(source)]
    for model in _MODEL.value:
        reads += model_files(model)
    check_outputs([folder / name for name in table.REPORT_FILES], reads)
    methods = {}
    for model in _MODEL.value:
        restorer = load_restorer(model)
        print(restorer.describe(), flush=True)
        methods[model] = lambda damaged, r=restorer: r.restore(damaged.photo)
    scores = []
    options = {"seed": _SEED.value, "gray": _GRAY.value}
    for score in table.score_photos(methods, source, damage, **options):
        scores.append(score if len(scores) < _PICTURES.value else score.numbers())
        print(f"[{len(scores)}/{len(source)}] {score.describe()}", flush=True)
    facts = {"photos": _PHOTOS.value, "damage": _DAMAGE.value, **options}
    print(table.write_report(folder, scores, facts))


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "photos", "damage", "output"])
    command.run(main)
