"""Write a page of pictures: photos, what pairs make of them, amplified errors.

    python -m vgg_unpool_jax release_page --pairs=runs/block1,runs/block2 \
        --source=folder:PHOTOS --output=page

The photos are spaced evenly over the source, sorted by name. Writes block{N}.jpg a
pair, all.jpg and index.html, which shows them with L1 and PSNR of each photo.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.errors import WeightsError, WeightsMismatchError
from vgg_unpool_jax.releases.released import released_names
from vgg_unpool_jax.systems.unpooling.page import write_release_page
from vgg_unpool_jax.systems.unpooling.pair import load_pair

_PAIRS = flags.DEFINE_list(
    "pairs",
    None,
    "Trained pairs, at most one a block: whatever `load_pair` takes; or released, for "
    "all decoders inside this package.",
)
_SOURCE = flags.DEFINE_string(
    "source", None, "Photos: folder:PATH, zip:PATH, tfds:NAME[:SPLIT] or samples."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the pictures and the page.")
_PHOTOS = flags.DEFINE_integer("photos", 6, "How many photos.", lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", 256, "Side of their centre crops in pixels.", lower_bound=1
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "VGG19 weight file of all pairs; default: trained with."
)
_WITHOUT_WEIGHTS = flags.DEFINE_enum(
    "without_weights",
    "fail",
    ("fail", "skip"),
    "What to do if VGG19 cannot be had or is not that of the pairs.",
)


def main() -> None:
    """Run the command."""
    source = make_source(_SOURCE.value)
    names = _PAIRS.value
    if names == ["released"]:
        names = released_names()
    try:
        pairs = [load_pair(name, _WEIGHTS.value) for name in names]
    except (WeightsError, WeightsMismatchError) as error:
        if _WITHOUT_WEIGHTS.value == "fail":
            raise
        print(f"no page of released pairs: {error}")
        return
    files = write_release_page(
        pairs,
        source,
        _OUTPUT.value,
        photos=_PHOTOS.value,
        image_size=_IMAGE_SIZE.value,
    )
    for file in files:
        print(file)


if __name__ == "__main__":
    flags.mark_flags_as_required(["pairs", "source", "output"])
    command.run(main)
