"""Make the registry of a folder of released decoders, so that others have them by name.

    python -m vgg_unpool_jax register_releases --folder=FOLDER [--results=FILE,...] \
        [--licence=MIT] [--planned=4,5] [--elsewhere=FILE,... --address=URL_OR_FOLDER]

Writes FOLDER/releases.json. Serve the folder, or copy it where others can read it, and
they set VGG_UNPOOL_RELEASES to its address. See docs/pairs.md.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.releases import registry_text
from vgg_unpool_jax.releases.register import register
from vgg_unpool_jax.releases.registry import read_registry

_FOLDER = flags.DEFINE_string("folder", None, "With files vgg19-NAME.safetensors.")
_RESULTS = flags.DEFINE_list("results", [], "Result files of `evaluate`.")
_LICENCE = flags.DEFINE_string("licence", None, "Of decoders that name none.")
_PLANNED = flags.DEFINE_list("planned", [], "Blocks that are not published yet.")
_ELSEWHERE = flags.DEFINE_list("elsewhere", [], "Decoders that are had from --address.")
_ADDRESS = flags.DEFINE_string("address", None, "Folder or URL with these decoders.")


def main() -> None:
    """Run the command."""
    if bool(_ELSEWHERE.value) != bool(_ADDRESS.value):
        raise ConfigError("--elsewhere and --address belong together")
    unknown = [block for block in _PLANNED.value if block not in "12345"]
    if unknown:
        raise ConfigError(f"--planned takes blocks 1 to 5, got {', '.join(unknown)}")
    path = register(
        _FOLDER.value,
        results=_RESULTS.value,
        planned=[int(block) for block in _PLANNED.value],
        elsewhere=dict.fromkeys(_ELSEWHERE.value, _ADDRESS.value),
        licence=_LICENCE.value,
    )
    registry = read_registry(_FOLDER.value)
    entries = {name: (entry, registry) for name, entry in registry.releases.items()}
    print(f"{registry_text.table(entries)}\n{path}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["folder"])
    command.run(main)
