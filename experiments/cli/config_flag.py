"""The flag of a command that takes a config, by name or by path."""

import pathlib

from absl import flags
from ml_collections.config_flags import config_flags

import configs

_FOLDER = pathlib.Path(configs.__file__).parent


class _ParserByName(config_flags.ConfigFileFlagParser):
    """Takes NAME, NAME:VARIANT, FILE and FILE:VARIANT."""

    def parse(self, path):
        name, *variant = path.split(":", 1)
        return super().parse(":".join([find_config(name), *variant]))


def find_config(name: str) -> str:
    """The path of a config.

    Args:
      name: a path, or a file of `configs` as "vgg19_block1", "vgg19_block1.py" or
        "configs/vgg19_block1.py", which is found from any working directory.
    """
    if pathlib.Path(name).is_file():
        return name
    shipped = _FOLDER / f"{name.removeprefix('configs/').removesuffix('.py')}.py"
    if shipped.is_file():
        return str(shipped)
    known = ", ".join(sorted(file.stem for file in _FOLDER.glob("[a-z]*.py")))
    raise ValueError(f"{name} is neither a file nor one of the configs {known}")


def define_config(name: str, help_string: str) -> flags.FlagHolder:
    """Define a flag whose value is a config; its fields are flags NAME.FIELD."""
    holder = config_flags.DEFINE_config_file(name, None, help_string)
    flags.FLAGS[name].parser = _ParserByName(name)
    return holder
