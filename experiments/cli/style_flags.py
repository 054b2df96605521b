"""Flags that the commands of style transfer share."""

from absl import flags

from vgg_unpool_jax.applications.stylization.cascade import Stylizer
from vgg_unpool_jax.applications.stylization.file_stylizer import load_stylizer
from vgg_unpool_jax.applications.stylization.files import (
    StyleFile,
    read_strengths,
    read_style_files,
)
from vgg_unpool_jax.applications.stylization.smoothing import SMOOTHINGS
from vgg_unpool_jax.applications.stylization.transforms import TRANSFORMS

CONTENT = flags.DEFINE_string("content", None, "What to stylise: file or folder.")
STYLE = flags.DEFINE_list(
    "style", None, "A photo, or a file of --save_style; several with commas."
)
STYLE_SHARES = flags.DEFINE_list(
    "style_shares", None, "Share of each of several styles; default: equal ones."
)
STYLE_MASK = flags.DEFINE_list(
    "style_mask", None, "Segmentation map of each style photo."
)
OUTPUT = flags.DEFINE_string("output", None, "Where the result goes: file or folder.")
PAIRS = flags.DEFINE_list(
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
    "transform", "wct", TRANSFORMS, "How features take on the style."
)
SMOOTHING = flags.DEFINE_enum(
    "smoothing", "guided", SMOOTHINGS, "What keeps the result photographic."
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
    "Larger photos are done in tiles of so many pixels a side; 0: whole.",
    lower_bound=0,
)


def stylizer() -> Stylizer:
    """What the flags ask for."""
    return load_stylizer(
        PAIRS.value,
        WEIGHTS.value,
        LEVELS.value,
        transform=TRANSFORM.value,
        tile=TILE.value,
    )


def styles() -> list[StyleFile]:
    """The styles that the flags name."""
    return read_style_files(STYLE.value, STYLE_MASK.value, STYLE_SHARES.value)


def strengths() -> dict[int, float]:
    """The strengths of single levels."""
    return read_strengths(STRENGTHS.value)
