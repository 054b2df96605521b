"""Write the decoder of a trained pair into one file that travels.

    python -m vgg_unpool_jax export_decoder --workdir=W --output=FILE.safetensors \
        [--dtype=float16|float32|int8] [--facts=FILE.json] [--results=W/results.json]

`load_pair` and --workdir of other commands take the file. --facts is a JSON object for
its users: training photos, hardware, hours. With --results, a file of `evaluate`, a
model card FILE.md is written beside.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import read_bytes, to_path
from vgg_unpool_jax.releases.model_card import model_card
from vgg_unpool_jax.releases.released import DTYPES, read_decoder
from vgg_unpool_jax.systems.unpooling.pair import load_pair

_WORKDIR = flags.DEFINE_string("workdir", None, "Training run, or released decoder.")
_OUTPUT = flags.DEFINE_string("output", None, "File to write, ending in .safetensors.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", DTYPES, "Of the stored parameters.")
_FACTS = flags.DEFINE_string("facts", None, "JSON file with facts for the users.")
_RESULTS = flags.DEFINE_string("results", None, "Result file; also write a model card.")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: trained with.")


def main() -> None:
    """Run the command."""
    output = to_path(_OUTPUT.value)
    facts = json_file.read(_FACTS.value) if _FACTS.value else None
    results = (
        json_file.read(_RESULTS.value, "a result file") if _RESULTS.value else None
    )
    pair = load_pair(_WORKDIR.value, _WEIGHTS.value)
    pair.export(output, dtype=_DTYPE.value, facts=facts)
    # Read back: what was written is a decoder that others can read.
    metadata = read_decoder(output).metadata
    size = len(read_bytes(output))
    print(f"{pair.describe()}\ndecoder: {output} ({size:,} bytes, {_DTYPE.value})")
    if results is not None:
        card = output.with_suffix(".md")
        text = model_card(metadata, results, name=output.stem)
        with replacing(card) as file:
            file.write(text.encode())
        print(f"model card: {card}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "output"])
    command.run(main)
