"""What a pair makes of encoder weights that are not quite those of its training.

    python -m vgg_unpool_jax perturb --pair=runs/release/block5 \
        --photos=folder:PHOTOS --weights=VGG19.h5

The kernels of the named blocks move by noise as large as a rounding to `--bits` bits
makes it: about as far as rounded weights are from the exact ones. Prints the L1 of the
pair as it is and with each draw of the noise.
"""

import numpy as np
from absl import flags

from experiments.cli import command
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.rounding import perturb_by_rounding
from vgg_unpool_jax.systems.unpooling.encoder_agreement import EncoderAgreement
from vgg_unpool_jax.systems.unpooling.pair import Pair, load_pair

_PAIR = flags.DEFINE_string("pair", None, "Whatever `load_pair` takes.")
_PHOTOS = flags.DEFINE_string("photos", None, "Photos, such as folder:PATH.")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: see README.")
_BLOCKS = flags.DEFINE_list("blocks", ["4", "5"], "Blocks whose kernels move.")
_BITS = flags.DEFINE_integer("bits", 8, "Of the rounding.", 1, 23)
_DRAWS = flags.DEFINE_integer("draws", 3, "How often the noise is drawn.", 1)


def main() -> None:
    """Run the command."""
    if not set(_BLOCKS.value) <= set("12345"):
        raise ConfigError(f"--blocks must be of 1 to 5, got {','.join(_BLOCKS.value)}")
    blocks = [int(block) for block in _BLOCKS.value]
    pair = load_pair(_PAIR.value, _WEIGHTS.value)
    weights = load_vgg19_weights(_WEIGHTS.value, block=pair.block)
    source = make_source(_PHOTOS.value)
    part = Split(source, np.arange(len(source)))
    l1 = pair.evaluate(part).metrics["l1"].mean
    print(f"block{pair.block}_conv2: L1 {l1:.3f} in [0, 255]")
    for seed in range(_DRAWS.value):
        moved = perturb_by_rounding(weights, blocks=blocks, bits=_BITS.value, seed=seed)
        other = Pair(pair.config, moved, pair.decoder_variables, pair.step)
        agreement = EncoderAgreement(pair.encode, other.encode)
        score = other.evaluate(part, observe=agreement.observe)
        change = score.metrics["l1"].mean - l1
        print(
            f"blocks {','.join(_BLOCKS.value)} moved as by {_BITS.value} bits, draw "
            f"{seed}: L1 {l1 + change:.3f} ({change:+.3f}); {agreement.report()}"
        )


if __name__ == "__main__":
    flags.mark_flags_as_required(["pair", "photos"])
    command.run(main)
