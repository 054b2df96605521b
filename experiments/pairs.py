"""Released pairs by name: what there is, where it is, and how it gets elsewhere.

    python -m vgg_unpool_jax pairs list | show NAME | fetch NAME
    python -m vgg_unpool_jax pairs folder PAIR FOLDER [--dtype=float16|float32|int8] \
        [--results=FILE] [--licence=MIT] [--weights=FILE]
    python -m vgg_unpool_jax pairs upload FOLDER hf:OWNER/NAME [--private] [--dry_run]

--releases=URL_OR_FOLDER asks another registry than that of the package first; `fetch`
downloads what is not here and prints where it is, `folder` writes a model folder as the
Hugging Face Hub has them, and `upload` sends it there. See docs/pairs.md.
"""

import os

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.releases import hub, registry, registry_text, released
from vgg_unpool_jax.releases.model_folder import results_of, write_model_folder
from vgg_unpool_jax.releases.register import read_result_file
from vgg_unpool_jax.systems.unpooling.pair import load_pair

_RELEASES = flags.DEFINE_string("releases", None, "Folder or URL with a registry.")
_DTYPE = flags.DEFINE_enum("dtype", None, released.DTYPES, "Default: as it is.")
_RESULTS = flags.DEFINE_string("results", None, "Result file of `evaluate`.")
_LICENCE = flags.DEFINE_string("licence", None, "Of a decoder that names none.")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weights; default: trained with.")
_PRIVATE = flags.DEFINE_bool("private", False, "Of a repository that is made.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check all, and send nothing.")


def _fetch(name: str) -> str:
    path = released.find_release(name)
    if path is None:
        raise ConfigError(f"{name} is no released decoder")
    released.read_decoder(path)  # whole, and of a version that can be read
    return str(path)


def _folder(pair: str, folder: str) -> str:
    entry, _ = registry.known_releases().get(pair, (None, None))
    known = results_of(entry) if entry else None
    results = read_result_file(_RESULTS.value) if _RESULTS.value else known
    licence = _LICENCE.value or (entry.licence if entry else None)
    loaded, options = load_pair(pair, _WEIGHTS.value), {"dtype": _DTYPE.value}
    options |= {"results": results, "licence": licence}
    return "\n".join(map(str, write_model_folder(loaded, folder, **options)))


def _upload(folder: str, spec: str) -> str:
    dry_run = _DRY_RUN.value
    files = hub.upload_folder(folder, spec, private=_PRIVATE.value, dry_run=dry_run)
    return f"{'would send' if dry_run else 'sent'} to {spec}: {', '.join(files)}"


_COMMANDS = {
    "list": (lambda: registry_text.table(registry.known_releases()), ""),
    "show": (lambda name: registry_text.details(*released.find_entry(name)), "NAME"),
    "fetch": (_fetch, "NAME"),
    "folder": (_folder, "PAIR FOLDER"),
    "upload": (_upload, "FOLDER hf:OWNER/NAME"),
}


def main(arguments: list[str]) -> None:
    """Run the command."""
    if _RELEASES.value:
        os.environ[registry.RELEASES_VARIABLE] = _RELEASES.value
    act, wanted = _COMMANDS.get(arguments[0] if arguments else "", (None, ""))
    if act is None or len(arguments) - 1 != len(wanted.split()):
        usage = " | ".join(
            f"{name} {rest[1]}".strip() for name, rest in _COMMANDS.items()
        )
        raise ConfigError(f"wanted is one of: {usage}")
    print(act(*arguments[1:]))


if __name__ == "__main__":
    command.run(main, positional=True)
