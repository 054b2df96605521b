"""The flag of a command that takes a config, by name or by path."""

import difflib
import pathlib
import re
import sys
from collections.abc import Iterable

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_flags import config_flags

import configs
from vgg_unpool_jax.io.paths import to_path

_FOLDER = pathlib.Path(configs.__file__).parent


class _ParserByName(config_flags.ConfigFileFlagParser):
    """Takes NAME, NAME:VARIANT, FILE and FILE:VARIANT."""

    def parse(self, path):
        name, *variant = path.split(":", 1)
        config = super().parse(":".join([find_config(name), *variant]))
        for argument in sys.argv:
            override = re.match(rf"--?(?:no)?{self.name}\.([\w.]+)", argument)
            if override:
                _check_field(config, override[1])
        return config


def find_config(name: str) -> str:
    """The path of a config.

    Args:
      name: a path, or a file of `configs` as "vgg19_block1", "vgg19_block1.py" or
        "configs/vgg19_block1.py", which is found from any working directory.
    """
    if name.strip() and to_path(name).is_file():
        return str(to_path(name))
    shipped = _FOLDER / f"{name.removeprefix('configs/').removesuffix('.py')}.py"
    if shipped.is_file():
        return str(shipped)
    known = sorted(file.stem for file in _FOLDER.glob("[a-z]*.py"))
    hint = did_you_mean(shipped.stem, known)
    raise ValueError(
        f"{name} is neither a file nor one of the configs {', '.join(known)}{hint}"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, if any."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {nearest[0]}?" if nearest else ""


def _check_field(config, field: str) -> None:
    """Raise `ValueError` for a field that a config lacks."""
    node, known = config, list(_fields(config))
    for part in field.split("."):
        if not isinstance(node, ConfigDict) or part not in node:
            ends = {name.rpartition(".")[2]: name for name in known}
            hint = did_you_mean(field, known)
            if not hint and (near := difflib.get_close_matches(part, ends, n=1)):
                hint = f": did you mean {ends[near[0]]}?"
            raise ValueError(f"the config has no field {field}{hint}")
        node = node[part]


def _fields(config, prefix: str = ""):
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, ConfigDict):
            yield from _fields(value, f"{prefix}{name}.")


def define_config(name: str, help_string: str) -> flags.FlagHolder:
    """Define a flag whose value is a config; its fields are flags NAME.FIELD."""
    holder = config_flags.DEFINE_config_file(name, None, help_string)
    flags.FLAGS[name].parser = _ParserByName(name)
    return holder
