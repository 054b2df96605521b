"""Read a pair of the published VGG19 unpooling collection, or of its form.

    python -m vgg_unpool_jax import_pair --decoder=FOLDER --output=FOLDER \
        [--encoder=FOLDER | --weights=FILE]

Both are SavedModels, unpacked. Writes decoder.safetensors and encoder.safetensors, for
--workdir and --weights of the other commands, and report.txt: which variable became
which layer, and how far ours and the SavedModels differ on the same images. Pairs that
differ are refused.

Needs the extra [export], for TensorFlow.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.io.atomic import check_new_folder

_DECODER = flags.DEFINE_string("decoder", None, "Folder of the decoder's SavedModel.")
_ENCODER = flags.DEFINE_string("encoder", None, "Folder of the encoder's SavedModel.")
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "VGG19 weights in place of an encoder: those it was trained with."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write; new or empty.")


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.systems.unpooling.export.imported import import_savedmodels

    check_new_folder(_OUTPUT.value)
    pair = import_savedmodels(_DECODER.value, _ENCODER.value, weights=_WEIGHTS.value)
    pair.save(_OUTPUT.value)
    print("\n".join(pair.report))
    print(f"\nwritten: {_OUTPUT.value}/decoder.safetensors, encoder.safetensors")


if __name__ == "__main__":
    flags.mark_flags_as_required(["decoder", "output"])
    command.run(main)
