"""Write a trained pair for other programs.

    python -m vgg_unpool_jax export --workdir=W|--pair=NAME --output=FOLDER \
        --format=savedmodel|stablehlo|onnx|safetensors|orbax \
        [--weights=FILE] [--facts=FILE.json] [--results=W/results.json]

The folder gets encoder, decoder and autoencoder for any batch and size, or their
arrays, and a metadata.json; docs/export.md describes the formats.

Needs the extra [export] with --format=savedmodel or --format=onnx.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.atomic import check_new_folder
from vgg_unpool_jax.releases.released import DTYPES
from vgg_unpool_jax.systems.unpooling.export.formats import FORMATS, export_pair
from vgg_unpool_jax.systems.unpooling.export.parts import PairParts
from vgg_unpool_jax.systems.unpooling.pair import load_pair

_WORKDIR = flags.DEFINE_string("workdir", None, "Training run, or released decoder.")
_PAIR = flags.DEFINE_string("pair", None, 'Name of a released pair: "vgg19-block1".')
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: trained with.")
_FORMAT = flags.DEFINE_enum("format", None, FORMATS, "What to write.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write; new or empty.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", DTYPES, "Of a safetensors decoder.")
_FACTS = flags.DEFINE_string("facts", None, "JSON file with facts for the users.")
_RESULTS = flags.DEFINE_string("results", None, "Result file, for its metrics.")


def main() -> None:
    """Run the command."""
    if (_WORKDIR.value is None) == (_PAIR.value is None):
        raise ConfigError("name one of --workdir and --pair")
    check_new_folder(_OUTPUT.value)
    facts = json_file.read(_FACTS.value) if _FACTS.value else {}
    if _RESULTS.value:
        facts["metrics"] = json_file.read(_RESULTS.value, "a result file").get(
            "metrics", {}
        )
    pair = load_pair(_WORKDIR.value or _PAIR.value, _WEIGHTS.value)
    if facts:
        facts = {**(pair.release or {"facts": {}})["facts"], **facts}
    parts = PairParts.of(pair, facts or None)
    metadata = export_pair(parts, _OUTPUT.value, _FORMAT.value, dtype=_DTYPE.value)
    print(f"{pair.describe()}\n{_FORMAT.value}: {_OUTPUT.value}")
    for name, file in metadata["files"].items():
        print(f"  {name} ({file['bytes']:,} bytes)")


if __name__ == "__main__":
    flags.mark_flags_as_required(["format", "output"])
    command.run(main)
