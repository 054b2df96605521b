"""Released pairs by name: list, download, show, compare and publish them.

    python -m vgg_unpool_jax pairs list | show NAME | fetch NAME
    python -m vgg_unpool_jax pairs page PAIR... --source=folder:PHOTOS --output=FOLDER
    python -m vgg_unpool_jax pairs table RESULTS.json...
    python -m vgg_unpool_jax pairs register FILE.safetensors [--results=FILE] \
        [--licence=MIT] [--address=URL]
    python -m vgg_unpool_jax pairs folder PAIR FOLDER [--dtype=float16|float32|int8] \
        [--results=FILE] [--licence=MIT] [--weights=FILE]
    python -m vgg_unpool_jax pairs upload FOLDER hf:OWNER/NAME [--private] [--dry_run]

`fetch` downloads what is not on this machine and prints its path; `page` writes photos,
their reconstructions and errors, of `released` for all pairs of the package; `table`
compares pairs with the published figures; `register` enters a file into the index of
its folder, which --releases=URL_OR_FOLDER names; `folder` writes one for the Hugging
Face Hub, `upload` sends it there. See docs/pairs.md.
"""

import os

from absl import flags

from experiments.cli import command, release_text
from experiments.cli.unused import note_unused
from vgg_unpool_jax.data import make_source, source_files
from vgg_unpool_jax.errors import ConfigError, WeightsError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.releases import file, hub, index
from vgg_unpool_jax.releases.storage import DTYPES
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.systems.unpooling import page, release, table
from vgg_unpool_jax.systems.unpooling.pair import load_pair

_RELEASES = flags.DEFINE_string("releases", None, "Folder or URL with an index.")
_DTYPE = flags.DEFINE_enum("dtype", None, DTYPES, "Default: that of the file.")
_RESULTS = flags.DEFINE_string("results", None, "Result file of `evaluate`.")
_LICENCE = flags.DEFINE_string("licence", None, "Of a decoder that names none.")
_ADDRESS = flags.DEFINE_string("address", "", "Folder or URL where users get the file.")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: trained with.")
_PRIVATE = flags.DEFINE_bool("private", False, "Of a repository that is created.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check the folder and send nothing.")
_SOURCE = flags.DEFINE_string("source", None, "Photos of a page, as in `evaluate`.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of a page.")
_PHOTOS = flags.DEFINE_integer("photos", 6, "Number of photos of a page.", 1)
_SIZE = flags.DEFINE_integer("image_size", 256, "Side of a page's crops, pixels.", 1)
_WITHOUT_WEIGHTS = flags.DEFINE_enum(
    "without_weights", "fail", ("fail", "skip"), "If a page has no VGG19 weights."
)


def _fetch(name: str) -> str:
    path = index.find(name)
    if path is None:
        raise ConfigError(f"{name} is no released model")
    file.read(path)  # refuses a damaged file and an unknown version
    return str(path)


def _page(*pairs: str) -> str:
    if not (_SOURCE.value and _OUTPUT.value):
        raise ConfigError("a page needs --source and --output")
    source = make_source(_SOURCE.value)
    names = index.packaged_names("unpooling") if pairs == ("released",) else pairs
    reads = [path for name in names for path in model_files(name, _WEIGHTS.value)]
    check_outputs(output_folder(_OUTPUT.value).glob("*"), reads + source_files(source))
    try:
        loaded = [load_pair(name, _WEIGHTS.value) for name in names]
    except WeightsError as error:
        if _WITHOUT_WEIGHTS.value == "fail":
            raise
        return f"no page of released pairs: {error}"
    options = {"photos": _PHOTOS.value, "image_size": _SIZE.value}
    files = page.write_release_page(loaded, source, _OUTPUT.value, **options)
    return "\n".join(map(str, files))


def _table(*results: str) -> str:
    return table.release_table(map(table.read_pair_results, results))


def _results() -> dict | None:
    return json_file.read(_RESULTS.value, "a result file") if _RESULTS.value else None


def _register(path: str) -> str:
    written = to_path(path).parent / index.FILE
    check_outputs([written], filter(None, [path, _RESULTS.value]))
    options = {"licence": _LICENCE.value, "address": _ADDRESS.value}
    entry = index.register(path, results=_results(), **options)
    return f"{entry.name}: {written}"


def _folder(pair: str, folder: str) -> str:
    reads = [*filter(None, [_RESULTS.value]), *model_files(pair, _WEIGHTS.value)]
    check_outputs([output_folder(folder) / name for name in hub.FILES], reads)
    options = {"licence": _LICENCE.value, "dtype": _DTYPE.value}
    options |= {"results": _results(), "weights": _WEIGHTS.value}
    return "\n".join(map(str, release.write_pair_folder(pair, folder, **options)))


def _upload(folder: str, spec: str) -> str:
    hub.upload(folder, spec, private=_PRIVATE.value, dry_run=_DRY_RUN.value)
    sent = "would send" if _DRY_RUN.value else "sent"
    return f"{sent} to {spec}: {', '.join(hub.FILES)}"


_COMMANDS = {
    "list": (lambda: release_text.entry_table(index.entries().values()), ""),
    "show": (lambda name: release_text.entry_details(index.find_entry(name)), "NAME"),
    "fetch": (_fetch, "NAME"),
    "page": (_page, "PAIR..."),
    "table": (_table, "RESULTS.json..."),
    "register": (_register, "FILE"),
    "folder": (_folder, "PAIR FOLDER"),
    "upload": (_upload, "FOLDER hf:OWNER/NAME"),
}
# The flags that each looks at, beside --releases.
_FLAGS = {
    "page": "source output photos image_size weights without_weights",
    "register": "results licence address",
    "folder": "dtype results licence weights",
    "upload": "private dry_run",
}


def main(arguments: list[str]) -> None:
    """Run the command."""
    if _RELEASES.value:
        os.environ[index.VARIABLE] = _RELEASES.value
    name, *values = arguments or [""]
    act, expected = _COMMANDS.get(name, (None, ""))
    is_list, count = expected.endswith("..."), len(expected.split())
    if act is None or len(values) < count or (len(values) > count and not is_list):
        usage = " | ".join(f"{n} {form}".strip() for n, (_, form) in _COMMANDS.items())
        raise ConfigError(f"expected one of: {usage}")
    known = set(" ".join(_FLAGS.values()).split())
    unused = known.difference(_FLAGS.get(name, "").split())
    note_unused(f"`pairs {name}` does not use it", *sorted(unused))
    print(act(*values))


if __name__ == "__main__":
    command.run(main, positional=True)
