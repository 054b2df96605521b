"""Write pretrained weights as another kind of file.

    python -m vgg_unpool_jax convert_weights \
        --output=FILE.h5|FILE.pth|FILE.safetensors [--input=FILE]

Reads Keras' .h5 and .keras, torchvision's .pth and .safetensors; .pth needs PyTorch,
to read and to write. The file holds the layers that encoders use, up to block5_conv2,
and records their preprocessing; docs/export.md shows how other programs load it.
--network takes other weights than VGG19's (docs/metrics.md), as .safetensors.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.load import load_vgg19_weights, weight_files
from vgg_unpool_jax.pretrained.metric_heads import HEAD_FILES, head_files, save_heads
from vgg_unpool_jax.pretrained.networks import (
    NETWORKS,
    load_network_weights,
    network_files,
)

_VGG19 = "vgg19"

_INPUT = flags.DEFINE_string(
    "input", None, "Weight file; default: its variable, the cache or a download."
)
_OUTPUT = flags.DEFINE_string("output", None, "File to write.")
_NETWORK = flags.DEFINE_enum(
    "network", _VGG19, [_VGG19, *NETWORKS, *HEAD_FILES], "Which weights."
)


def main() -> None:
    """Run the command."""
    network, output = _NETWORK.value, _OUTPUT.value
    if network in HEAD_FILES:
        check_outputs([output], head_files(network, _INPUT.value))
        names = save_heads(network, output, _INPUT.value)
        print(f"{output}: {', '.join(names)}")
        return
    if network == _VGG19:
        check_outputs([output], weight_files(_INPUT.value))
        weights = load_vgg19_weights(_INPUT.value)
    elif output.endswith(".safetensors"):
        check_outputs([output], network_files(network, _INPUT.value))
        weights = load_network_weights(network, _INPUT.value)
    else:
        raise ConfigError(f"the output of {network} must end in .safetensors")
    save_weights(weights, output)
    print(
        f"{output}: {len(weights.params)} layers of {weights.origin} (SHA-256 "
        f"{weights.sha256[:12]}…), for {weights.preprocessing} preprocessing"
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["output"])
    command.run(main)
