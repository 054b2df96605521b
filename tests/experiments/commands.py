"""Commands in processes of their own, without a start of Python and JAX for each.

A server imports once what all commands import, and forks for each of them.
"""

import atexit
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        *(__name__, "pytest", "experiments.cli.command"),
        "vgg_unpool_jax.applications.stylization.files",
        "vgg_unpool_jax.systems.results",
    ]
)


def run_module(name, *arguments, **environment) -> subprocess.CompletedProcess:
    """What `python -m NAME ARGUMENTS` does in the checkout.

    What JAX reads when it is imported it has read before: `environment` comes too late.
    """
    command = [name, *map(str, arguments)]
    variables = os.environ | {"JAX_PLATFORMS": "cpu"} | environment
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder, name) for name in ("stdout", "stderr")]
        process = _server.Process(target=_run, args=(command, variables, files))
        process.start()
        process.join(timeout=200)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"{command} did not end")
        told = [file.read_text() for file in files]
        return subprocess.CompletedProcess(command, process.exitcode, *told)


def run_command(command, *arguments, **environment) -> subprocess.CompletedProcess:
    """Run one of the experiments as a user does."""
    return run_module(f"experiments.{command}", *arguments, **environment)


def _run(command, variables, files):
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(CHECKOUT)
    sys.argv = command
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
