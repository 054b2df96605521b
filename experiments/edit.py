"""Edit a photo in the feature space of a pair: a strip of pictures with captions.

    python -m vgg_unpool_jax edit --pair=vgg19-block3 --edit=interpolate --input=A.jpg \
        --second=B.jpg --output=strip.png

Edits: interpolate, scale, drop, swap, reencode; see docs/editing.md. Captions, printed
as well, have the mean absolute difference (L1, grey levels) to the photo or photos.
"""

from absl import flags

from experiments.cli import command
from experiments.cli.numbers import parse_numbers
from experiments.cli.unused import note_unused
from vgg_unpool_jax.applications.editing import strips
from vgg_unpool_jax.applications.editing.photo_pairs import SWITCHES
from vgg_unpool_jax.applications.resizing import reduce_to_side
from vgg_unpool_jax.data import decode_photo
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.pictures import check_photo_name, save_png
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.systems.saved import model_files

_PAIR = flags.DEFINE_string("pair", None, "Name, released file or workdir of a pair.")
_EDIT = flags.DEFINE_enum("edit", None, strips.EDITS, "The edit.")
_INPUT = flags.DEFINE_string("input", None, "The photo.")
_SECOND = flags.DEFINE_string("second", None, "Second photo: interpolate and swap.")
_OUTPUT = flags.DEFINE_string("output", None, "Picture to write, such as strip.png.")
_FRAMES = flags.DEFINE_string("frames", None, "Folder for the single pictures (PNG).")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weight file.")
_STEPS = flags.DEFINE_integer(
    "steps", 5, "Pictures of interpolate, rounds of reencode.", lower_bound=1
)
_SWITCHES = flags.DEFINE_enum(
    "switches", "nearest", SWITCHES, "Whose switches interpolate takes."
)
_COUNT = flags.DEFINE_list(
    "count", ["1"], "Number of top directions: one number for scale, any for drop."
)
_FACTORS = flags.DEFINE_list(
    "factors", ["0", "0.5", "1", "1.5", "2"], "Factors of scale."
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side", 512, "Photos with a longer side are reduced to it.", lower_bound=1
)
# The edits that look at a flag.
_EDITS_OF = {
    "steps": ("interpolate", "reencode"),
    "switches": ("interpolate",),
    "count": ("scale", "drop"),
    "factors": ("scale",),
}


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.systems.unpooling.pair import load_pair

    if (_SECOND.value is None) == (_EDIT.value in strips.WITH_SECOND):
        raise ConfigError("--second goes with --edit=interpolate and swap, and only so")
    paths = [path for path in (_INPUT.value, _SECOND.value) if path is not None]
    _check_output(paths)
    for name, edits in _EDITS_OF.items():
        if _EDIT.value not in edits:
            note_unused(f"it is for --edit={' and '.join(edits)}", name)
    counts = parse_numbers(_COUNT.value, int, "--count")
    factors = parse_numbers(_FACTORS.value, float, "--factors")
    photos = [_read(path) for path in paths]
    pair = load_pair(_PAIR.value, _WEIGHTS.value)
    print(pair.describe(), flush=True)
    strip = strips.make_strip(
        _EDIT.value,
        pair,
        photos,
        steps=_STEPS.value,
        switches=_SWITCHES.value,
        counts=counts,
        factors=factors,
    )
    strips.save_strip(_OUTPUT.value, strip)
    for number, (caption, image) in enumerate(strip.frames.items()):
        print(caption)
        if _FRAMES.value:
            save_png(to_path(_FRAMES.value) / f"{number:03}.png", image)
    print("\n".join([*strip.notes, f"picture: {_OUTPUT.value}"]))


def _check_output(photos: list[str]) -> None:
    check_photo_name(_OUTPUT.value)
    writes = [to_path(_OUTPUT.value)]
    if _FRAMES.value:
        # How many there will be depends on the edit.
        writes += output_folder(_FRAMES.value).glob("[0-9][0-9][0-9]*.png")
    check_outputs(writes, [*photos, *model_files(_PAIR.value, _WEIGHTS.value)])


def _read(path: str):
    pixels = decode_photo(path, path, tell_alpha=True)
    photo = reduce_to_side(pixels, _MAX_SIDE.value)
    if photo.shape != pixels.shape:
        print(f"{path}: reduced to {photo.shape[0]}×{photo.shape[1]} (--max_side)")
    return photo


if __name__ == "__main__":
    flags.mark_flags_as_required(["pair", "edit", "input", "output"])
    command.run(main)
