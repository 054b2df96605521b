"""Flags that the commands of style transfer share."""

import pathlib

from absl import flags

from experiments.cli.numbers import parse_number
from experiments.cli.path_list_flag import define_path_list
from experiments.cli.styles import parse_strengths, parse_styles
from experiments.cli.unused import note_unused
from vgg_unpool_jax.applications.stylization.options import SMOOTHINGS, TRANSFORMS
from vgg_unpool_jax.systems.saved import model_files

CONTENT = flags.DEFINE_string("content", None, "What to stylise: file or folder.")
STYLE = define_path_list(
    "style", None, "A photo, or a file of --save_style; several with commas."
)
STYLE_SHARES = flags.DEFINE_list(
    "style_shares", None, "Share of each of several styles; default: equal ones."
)
STYLE_MASK = define_path_list(
    "style_mask", None, "Segmentation map of each style photo."
)
OUTPUT = flags.DEFINE_string("output", None, "File or folder of the result.")
PAIRS = define_path_list(
    "pairs",
    ["vgg19-block4", "vgg19-block3", "vgg19-block2", "vgg19-block1"],
    "Released pairs by name or file, or workdirs; the command `pairs list` names them.",
)
LEVELS = flags.DEFINE_list(
    "levels", None, "Blocks to use of the pairs, such as 3,2,1; default: all."
)
WEIGHTS = flags.DEFINE_string(
    "weights", None, "VGG19 weight file; default: $VGG19_WEIGHTS, cache or download."
)
ALPHA = flags.DEFINE_float(
    "alpha", 1.0, "0 is the photo's reconstruction, 1 the whole style.", lower_bound=0.0
)
STRENGTHS = flags.DEFINE_list(
    "strengths", None, "Factor on alpha for single levels, such as 4:0.5,1:0."
)
TRANSFORM = flags.DEFINE_enum(
    "transform",
    "wct",
    TRANSFORMS,
    "Transform that gives features the moments of the style.",
)
SMOOTHING = flags.DEFINE_enum(
    "smoothing", "guided", SMOOTHINGS, "Smoothing along the edges of the photo."
)
MAX_SIDE = flags.DEFINE_integer(
    "max_side",
    0,
    "Larger photos are stylised at this size; the smoothing brings the result to that "
    "of the photo. 0: no limit.",
    lower_bound=0,
)
TILE = flags.DEFINE_integer(
    "tile",
    1024,
    "Larger photos are processed in tiles of this side in pixels; 0: whole.",
    lower_bound=0,
)


def stylizer():
    """The `Stylizer` of --pairs, --levels, --transform and --tile."""
    from vgg_unpool_jax.applications.stylization.files import load_stylizer

    blocks = [int(parse_number(text, "level")) for text in LEVELS.value or ()]
    return load_stylizer(
        PAIRS.value,
        WEIGHTS.value,
        blocks,
        transform=TRANSFORM.value,
        tile=TILE.value,
    )


def styles() -> list:
    """The styles of --style with their masks and shares, as `StyleFile`s."""
    return parse_styles(STYLE.value, STYLE_MASK.value or (), STYLE_SHARES.value or ())


def files_read() -> list[pathlib.Path]:
    """Files and folders that styles and pairs are read from."""
    read = [path for style in styles() for path in (style.path, style.mask) if path]
    for pair in PAIRS.value:
        read += model_files(pair, WEIGHTS.value)
    return read


def note_unused_flags() -> None:
    """Notes about those of these flags that have no effect."""
    if len(STYLE.value) == 1:
        note_unused("there is one style", "style_shares")


def strengths() -> dict[int, float]:
    """The factors of --strengths by block."""
    return parse_strengths(STRENGTHS.value or ())
