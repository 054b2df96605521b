"""Flags that the commands of style transfer share."""

import pathlib

from absl import flags

from experiments.cli.numbers import parse_number
from experiments.cli.path_list_flag import define_path_list
from experiments.cli.styles import parse_strengths, parse_styles
from experiments.cli.unused import note_unused
from vgg_unpool_jax.applications.stylization import options
from vgg_unpool_jax.applications.stylization.looks import DEFAULT_LOOK, LOOKS, Look
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
MODEL = flags.DEFINE_string(
    "model", "vgg19-style", "Staged decoder: name or file of a release, or a workdir."
)
PAIRS = define_path_list(
    "pairs",
    [],
    "Instead of --model, pairs for a cascade: released ones by name or file, or "
    "workdirs; the command `pairs list` names them.",
)
LEVELS = flags.DEFINE_list(
    "levels", None, "Blocks to move features at, such as 3,2,1; default: all."
)
LOOK = flags.DEFINE_enum(
    "look",
    DEFAULT_LOOK,
    list(LOOKS),
    "How much of the style: faithful keeps the photo's contrast, strong takes most.",
)
WEIGHTS = flags.DEFINE_string(
    "weights", None, "VGG19 weight file; default: $VGG19_WEIGHTS, cache or download."
)
ALPHA = flags.DEFINE_float(
    "alpha", 1.0, "0 is the photo, 1 the whole style.", lower_bound=0.0
)
STRENGTHS = flags.DEFINE_list(
    "strengths", None, "Factor on those of --look at single levels, such as 4:0.5."
)
TRANSFORM = flags.DEFINE_enum(
    "transform",
    None,
    options.TRANSFORMS,
    "Transform that gives features the moments of the style; default: of --look.",
)
SMOOTHING = flags.DEFINE_enum(
    "smoothing",
    None,
    options.SMOOTHINGS,
    "Smoothing along the edges of the photo; default: difference.",
)
MAX_SIDE = flags.DEFINE_integer(
    "max_side",
    options.MAX_SIDE,
    "Larger photos are stylised at this size; a last step along the photo's edges "
    "brings the result to its size. 0: no limit.",
    lower_bound=0,
)
TILE = flags.DEFINE_integer(
    "tile",
    1024,
    "Larger photos are processed in tiles of this side in pixels; 0: whole.",
    lower_bound=0,
)


def stylizer():
    """The `FeatureTransfer` of --model, or the cascade of --pairs."""
    from vgg_unpool_jax.applications.stylization.files import load_stylizer
    from vgg_unpool_jax.applications.stylization.one_pass import load_one_pass

    transform = TRANSFORM.value or look().transform
    settings = {"transform": transform, "tile": TILE.value}
    blocks = [int(parse_number(text, "level")) for text in LEVELS.value or ()]
    if PAIRS.value:
        return load_stylizer(PAIRS.value, WEIGHTS.value, blocks, **settings)
    return load_one_pass(MODEL.value, WEIGHTS.value, **settings)


def look() -> Look:
    """The look of --look."""
    return LOOKS[LOOK.value]


def styles() -> list:
    """The styles of --style with their masks and shares, as `StyleFile`s."""
    return parse_styles(STYLE.value, STYLE_MASK.value or (), STYLE_SHARES.value or ())


def files_read() -> list[pathlib.Path]:
    """Files and folders that styles and pairs are read from."""
    read = [path for style in styles() for path in (style.path, style.mask) if path]
    for model in PAIRS.value or [MODEL.value]:
        read += model_files(model, WEIGHTS.value)
    return read


def note_unused_flags() -> None:
    """Notes about those of these flags that have no effect."""
    if len(STYLE.value) == 1:
        note_unused("there is one style", "style_shares")
    if PAIRS.value:
        note_unused("--pairs names a cascade", "model")


def strengths() -> dict[int, float]:
    """The factors of --strengths by block; 0 where --levels leaves a block out."""
    found = parse_strengths(STRENGTHS.value or ())
    if LEVELS.value and not PAIRS.value:
        levels = {int(parse_number(text, "level")) for text in LEVELS.value}
        found |= {block: 0.0 for block in options.LEVELS if block not in levels}
    return found
