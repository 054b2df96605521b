"""Damage photos as a restoration network sees them in evaluation.

    python -m vgg_unpool_jax damage --input=FILE_OR_FOLDER --damage=noise:25 \
        --output=FOLDER

Writes a PNG with the input's name for each photo, rounded and clipped also with
noise:25:unclipped. What is drawn follows from --seed and the photo's number in the
folder, as in `evaluate_restoration`. Damages: noise:25, pixelate:8,
block:32, squares, grid, blur:15, jpeg:10; numbers may be ranges that are drawn
(noise:0-55); several are joined by + (in turn) or | (one of them is drawn).
"""

from absl import flags

from experiments.cli import command
from experiments.cli.each import for_each
from vgg_unpool_jax.data.damage import make_damage
from vgg_unpool_jax.data.examples import example_generator
from vgg_unpool_jax.data.photo_files import PhotoFile, list_photo_files
from vgg_unpool_jax.evaluation.pictures import save_png

_INPUT = flags.DEFINE_string("input", None, "A photo, or a folder (searched in depth).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the PNG files.")
_DAMAGE = flags.DEFINE_string("damage", None, "The damage.")
_FIXED = flags.DEFINE_bool(
    "fixed", False, "Positions and noise as in the published evaluation."
)
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of all photos.", lower_bound=0)


def main() -> None:
    """Run the command."""
    damage = make_damage(_DAMAGE.value, is_fixed=_FIXED.value)
    photos = list_photo_files(_INPUT.value, _OUTPUT.value)

    def work(item: tuple[int, PhotoFile]) -> str:
        number, photo = item
        generator = example_generator(_SEED.value, number)
        damaged = damage(photo.read(), generator)
        save_png(photo.output, damaged.photo)
        seen = f"noise {damaged.noise:.1f}, JPEG quality {damaged.quality:.0f}"
        return f"{photo.output} {seen}"

    for_each(list(enumerate(photos)), work)


if __name__ == "__main__":
    flags.mark_flags_as_required(["input", "output", "damage"])
    command.run(main)
