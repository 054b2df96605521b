"""The list of commands, and what their --help shows."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

from tests.experiments.commands import run_command

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "experiments"
COMMANDS = sorted(file.stem for file in FOLDER.glob("[a-z]*.py"))


def _modules(path):
    """The file of a command and the files of experiments/ that it imports."""
    found = [path]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("experiments"):
            module = CHECKOUT.joinpath(*node.module.split("."))
            names = [module / alias.name for alias in node.names]
            for name in (module, *names):
                file = name.with_suffix(".py")
                found += _modules(file) if file.is_file() else []
    return found


def _defined_flags(path):
    """Names in the calls of DEFINE_... in these files."""
    return {
        node.args[0].value
        for file in _modules(path)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and re.search("(DEFINE_|define_)", ast.unparse(node.func))
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_flag_of_a_command_and_an_example(command):
    text = run_command(command, "--help").stdout
    defined = _defined_flags(FOLDER / f"{command}.py")
    assert {"weights_cache", "keep_compiled"} < defined
    shown = set(re.findall(r"^ +--(?:\[no\])?(\w+):", text, re.M))
    assert defined == shown
    assert f"    python -m vgg_unpool_jax {command} " in text


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "vgg_unpool_jax", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_are_listed_with_a_description():
    done = _run()
    assert done.returncode == 0
    listed = re.findall(r"^  (\w+) +[A-Z].*\.$", done.stdout, re.M)
    assert listed == COMMANDS


def test_an_unknown_command_is_named():
    done = _run("trian")
    assert done.returncode == 1
    assert done.stderr.endswith("error: there is no command trian\n")
