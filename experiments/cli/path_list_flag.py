"""A flag with several paths between commas, which may have commas in their names."""

from collections.abc import Sequence

from absl import flags

from vgg_unpool_jax.io.paths import to_path


class _PathListParser(flags.ListParser):
    """Joins pieces again where together they are a file or folder that exists."""

    def parse(self, argument):
        if not isinstance(argument, str) or '"' in argument:
            return super().parse(argument)  # absl splits by the rules of CSV
        pieces, found = argument.split(","), []
        while any(pieces):
            joined = (",".join(pieces[:n]) for n in range(len(pieces), 1, -1))
            path = next(filter(_exists, joined), pieces[0])
            del pieces[: path.count(",") + 1]
            found.append(path.strip())
        return found + pieces  # empty ones, which are refused


def _exists(text: str) -> bool:
    # NAME=FOLDER is a folder with a name of its own.
    name, _, folder = text.rpartition("=")
    texts = (text, "" if "," in name else folder)
    return any(part.strip() and to_path(part).exists() for part in texts)


def define_path_list(
    name: str, default: Sequence[str] | None, help_string: str
) -> flags.FlagHolder:
    """Define a flag like `flags.DEFINE_list` whose entries may be paths."""
    return flags.DEFINE(
        _PathListParser(),
        name,
        default,
        help_string,
        serializer=flags.ListSerializer(","),
    )
