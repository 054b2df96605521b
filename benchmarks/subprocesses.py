"""Programs in processes of their own, which answer one after the other.

Two programs that each take all cores and gigabytes of memory at a time disturb each
other in one process, also when they take turns: their pools of threads do not know of
each other, and memory that one has freed in small pieces is of no use to the other. A
step of block 5 of ours took twice its time on a CPU with torch in the same process.
"""

import importlib
import multiprocessing.connection
import os
import pathlib
import subprocess
import sys
from typing import Any

from vgg_unpool_jax.errors import ConfigError

_CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
_SECONDS_TO_END = 10


class Subprocess:
    """An object in another process; use as a context manager."""

    def __init__(self, program: str, *arguments: Any, environment=None):
        """Start a process and make the object there.

        Args:
          program: "module:class".
          arguments: of the class; they are pickled.
          environment: further environment variables; None removes one.
        """
        ours, theirs = multiprocessing.connection.Pipe()
        self._connection = ours
        variables = {**os.environ, **(environment or {})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=_CHECKOUT,
            env={name: v for name, v in variables.items() if v is not None},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()  # otherwise the end of the process would not be noticed
        try:
            self.ask(program, *arguments)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()  # which ends the loop of the process
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object and return its result."""
        self._connection.send((method, arguments))
        try:
            outcome, result = self._connection.recv()
        except EOFError as error:
            raise RuntimeError(
                f"the process of a benchmark ended with status {self._process.wait()}"
            ) from error
        if outcome == "refused":
            raise ConfigError(result)
        if outcome == "failed":
            raise RuntimeError(result)
        return result


def _serve(descriptor: int) -> None:
    target = None
    with multiprocessing.connection.Connection(descriptor) as parent:
        while True:
            try:
                method, arguments = parent.recv()
            except EOFError:
                return
            try:
                if target is None:
                    module, name = method.split(":")
                    target = getattr(importlib.import_module(module), name)(*arguments)
                    result = None
                else:
                    result = getattr(target, method)(*arguments)
            except ConfigError as error:
                parent.send(("refused", str(error)))
            except Exception as error:  # raised by the parent
                parent.send(("failed", f"{type(error).__name__}: {error}"))
            else:
                parent.send(("done", result))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
