"""Programs in processes of their own, which answer one after the other.

Two programs that each take all cores and gigabytes of memory at a time disturb each
other in one process, also when they take turns: their pools of threads do not know of
each other, and memory that one has freed in small pieces is of no use to the other. A
step of block 5 of ours took twice its time on a CPU with torch in the same process.
"""

import concurrent.futures
import contextlib
import importlib
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from typing import Any

# The object of this process, if it is one that `Subprocess` started.
_target = None


class Subprocess:
    """An object in another process; use as a context manager."""

    def __init__(self, program: str, *arguments: Any, environment=None):
        """Start a process and make the object there.

        Args:
          program: "module:class".
          arguments: of the class; they are pickled.
          environment: further environment variables; None removes one.
        """
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(1, context)
        try:
            with _variables(environment or {}):
                self._pool.submit(_make, program, arguments).result()
        except BaseException:
            self._pool.shutdown()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object and return its result, or raise its error."""
        return self._pool.submit(_ask, method, arguments).result()


@contextlib.contextmanager
def _variables(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change the environment for a while."""
    before = dict(os.environ)
    for name, value in changes.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _make(program: str, arguments: tuple) -> None:
    global _target
    module, name = program.split(":")
    _target = getattr(importlib.import_module(module), name)(*arguments)


def _ask(method: str, arguments: tuple) -> Any:
    return getattr(_target, method)(*arguments)
