"""Write VGG19 weights as another kind of file.

    python -m vgg_unpool_jax convert_weights \
        --output=FILE.h5|FILE.pth|FILE.safetensors [--input=FILE]

Reads Keras' .h5 and .keras, torchvision's .pth and .safetensors; .pth needs PyTorch,
to read and to write. The file holds the layers that encoders use, up to block5_conv2,
and records their preprocessing; docs/export.md shows how other programs load it.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.load import load_vgg19_weights, weight_files

_INPUT = flags.DEFINE_string(
    "input", None, "Weight file; default is $VGG19_WEIGHTS, the cache or a download."
)
_OUTPUT = flags.DEFINE_string("output", None, "File to write.")


def main() -> None:
    """Run the command."""
    check_outputs([_OUTPUT.value], weight_files(_INPUT.value))
    weights = load_vgg19_weights(_INPUT.value)
    save_weights(weights, _OUTPUT.value)
    print(
        f"{_OUTPUT.value}: {len(weights.params)} layers of {weights.origin} (SHA-256 "
        f"{weights.sha256[:12]}…), for {weights.preprocessing} preprocessing"
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["output"])
    command.run(main)
