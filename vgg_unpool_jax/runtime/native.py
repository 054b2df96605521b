"""C++ functions for CPUs, compiled on the machine that runs them.

They are compiled when they are first needed, for the CPU that is there, and kept with
JAX's compiled programs or in the user's cache folder: whoever builds a package has
neither the user's CPU nor, in general, the user's jaxlib, whose headers they include.
Without a compiler, or where the folder cannot be written, there is no library, and
callers do the same with XLA.
"""

import ctypes
import functools
import hashlib
import logging
import os
import pathlib
import secrets
import shutil
import subprocess

import jax
import jaxlib

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.io.paths import cache_folder, is_remote
from vgg_unpool_jax.runtime.compilation_cache import cpu_name

SWITCH = "VGG_UNPOOL_NATIVE"  # environment variable; 0 turns all libraries off
_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    # Comparisons need not raise floating-point exceptions: loops become vectors.
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
    "-w",
)
_SECONDS = 120

_LOG = logging.getLogger(__name__)


@functools.cache
def library(source: pathlib.Path) -> ctypes.CDLL | None:
    """The library of a C++ file, compiled if this machine has not done so before.

    Args:
      source: the file; it may include XLA's FFI headers and those beside it.

    Returns:
      The loaded library; None where there is none.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        key = hashlib.sha256(source.read_bytes())
        for header in sorted(source.parent.glob("*.h")):
            key.update(header.read_bytes())
        key.update(repr((_FLAGS, jaxlib.__version__, cpu_name())).encode())
        path = _folder() / f"{source.stem}-{key.hexdigest()[:16]}.so"
        if not path.exists() and not _compile(source, path):
            return None
        return ctypes.CDLL(os.fspath(path))
    except (OSError, subprocess.SubprocessError, UserError) as error:
        _LOG.info("%s is not used: %s", source.name, error)
        return None


def _folder() -> pathlib.Path:
    programs = jax.config.jax_compilation_cache_dir
    if programs and not is_remote(programs):
        return pathlib.Path(programs) / "native"
    return cache_folder() / "native"


def _compile(source: pathlib.Path, path: pathlib.Path) -> bool:
    """Compile a file; whether that succeeded."""
    names = [os.environ.get("CXX"), *_COMPILERS]
    compiler = next(filter(None, map(shutil.which, filter(None, names))), None)
    if compiler is None:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may compile at once: each has a file of its own, and the last to
    # rename it wins.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    include = f"-isystem{jax.ffi.include_dir()}"
    command = [compiler, *_FLAGS, include, os.fspath(source), "-o", os.fspath(aside)]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
        os.replace(aside, path)
    except subprocess.CalledProcessError as error:
        _LOG.info("%s cannot be compiled: %s", source.name, error.stderr.strip())
        return False
    finally:
        aside.unlink(missing_ok=True)
    return True
