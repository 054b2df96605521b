"""Write a trained pair for other programs, or its decoder as one file.

    python -m vgg_unpool_jax export --workdir=W|--pair=NAME --output=FOLDER \
        --format=savedmodel|stablehlo|onnx|safetensors|orbax \
        [--weights=FILE] [--facts=FILE.json] [--results=W/results.json]
    python -m vgg_unpool_jax export --workdir=W --output=FILE.safetensors \
        --format=safetensors --part=decoder [--dtype=float16|float32|int8] ...

The folder gets encoder, decoder and autoencoder for any batch and size, or their
arrays, and a metadata.json; docs/export.md describes the formats. With --part=decoder
the output is one file that `load_pair` and other commands take; with --results, a file
of `evaluate`, its model card is written beside it.

Needs the extra [export] with --format=savedmodel or --format=onnx.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.atomic import check_new_folder
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.io.paths import read_bytes, to_path
from vgg_unpool_jax.releases.storage import DTYPES
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.systems.unpooling.export.formats import FORMATS, export_pair
from vgg_unpool_jax.systems.unpooling.pair import Pair, load_pair
from vgg_unpool_jax.systems.unpooling.release import write_card

_WORKDIR = flags.DEFINE_string("workdir", None, "Training run, or released decoder.")
_PAIR = flags.DEFINE_string("pair", None, 'Name of a released pair: "vgg19-block1".')
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: trained with.")
_FORMAT = flags.DEFINE_enum("format", None, FORMATS, "Of the output.")
_PART = flags.DEFINE_enum("part", "all", ("all", "decoder"), "Of the pair.")
_OUTPUT = flags.DEFINE_string("output", None, "New or empty folder; a file of a part.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", DTYPES, "Of a safetensors decoder.")
_FACTS = flags.DEFINE_string("facts", None, "JSON file with facts for the users.")
_RESULTS = flags.DEFINE_string("results", None, "Result file, for its metrics.")


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.systems.unpooling.export.parts import PairParts

    if (_WORKDIR.value is None) == (_PAIR.value is None):
        raise ConfigError("name one of --workdir and --pair")
    if _PART.value == "all":
        check_new_folder(_OUTPUT.value)
    elif _FORMAT.value != "safetensors":
        raise ConfigError("--part=decoder is written with --format=safetensors alone")
    else:
        output = to_path(_OUTPUT.value)
        writes = [output, *([output.with_suffix(".md")] if _RESULTS.value else [])]
        reads = [path for path in (_FACTS.value, _RESULTS.value) if path]
        reads += model_files(_WORKDIR.value or _PAIR.value, _WEIGHTS.value)
        check_outputs(writes, reads)
    facts = json_file.read(_FACTS.value, "a file of facts") if _FACTS.value else {}
    results = None
    if _RESULTS.value:
        results = json_file.read(_RESULTS.value, "a result file")
    pair = load_pair(_WORKDIR.value or _PAIR.value, _WEIGHTS.value)
    facts = {**(pair.release or {"facts": {}})["facts"], **facts}
    print(pair.describe())
    if _PART.value == "decoder":
        _export_decoder(pair, facts, results)
        return
    if results is not None:
        facts["metrics"] = results.get("metrics", {})
    parts = PairParts.of(pair, facts)
    metadata = export_pair(parts, _OUTPUT.value, _FORMAT.value, dtype=_DTYPE.value)
    print(f"{_FORMAT.value}: {_OUTPUT.value}")
    for name, file in metadata["files"].items():
        print(f"  {name} ({file['bytes']:,} bytes)")


def _export_decoder(pair: Pair, facts: dict, results: dict | None) -> None:
    file, dtype = _OUTPUT.value, _DTYPE.value
    pair.export(file, dtype=dtype, facts=facts)
    print(f"decoder: {file} ({len(read_bytes(file)):,} bytes, {dtype})")
    if results is not None:
        print(f"model card: {write_card(file, results)}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["format", "output"])
    command.run(main)
