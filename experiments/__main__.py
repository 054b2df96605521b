"""List the commands, or start one: `python -m experiments COMMAND [ARGUMENTS]`.

A command is a file of this folder; the first line of its docstring describes it.
"""

import ast
import pathlib
import runpy
import sys


def find_commands() -> dict[str, str]:
    """The description of every command by its name."""
    files = sorted(pathlib.Path(__file__).parent.glob("[a-z]*.py"))
    return {file.stem: _description(file) for file in files}


def _description(file: pathlib.Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return docstring.splitlines()[0]


def main() -> None:
    """Start the command that the first argument names."""
    commands = find_commands()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in commands:
        sys.argv[1:] = arguments
        runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
        return
    lines = [f"  {command:16} {text}" for command, text in commands.items()]
    usage = "usage: python -m vgg_unpool_jax COMMAND [ARGUMENTS]\n\n" + "\n".join(
        [*lines, "", "Every command has its own --help."]
    )
    if name not in ("help", "-h", "--help"):
        sys.exit(f"{usage}\nerror: there is no command {name}")
    print(usage)


if __name__ == "__main__":
    main()
