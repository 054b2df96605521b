"""Programs that XLA compiled, kept for the next start."""

import hashlib
import logging
import os
import pathlib
import platform

import jax

_LOG = logging.getLogger(__name__)

# What compiles faster is not worth a file.
_MIN_SECONDS = 0.1


def keep_compiled(folder: str | os.PathLike) -> None:
    """Keep compiled programs in a folder and take from there what is there already.

    Where JAX_COMPILATION_CACHE_DIR is set, that folder is taken instead and nothing is
    changed. Programs for a CPU may use any instruction that it has, so that in a home
    shared by many machines each kind of CPU has a folder of its own. The folder is
    never emptied; it may be deleted at any time.

    Args:
      folder: created when missing; where that fails, a warning says so and nothing is
        kept.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    name = f"{platform.machine()}-{_instructions()}"
    folder = pathlib.Path(folder) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _LOG.warning("compiled programs are not kept: %s", error)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)


def _instructions() -> str:
    """A short name of the CPU's set of instructions."""
    flags = platform.processor()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                flags = line
                break
    return hashlib.sha256(flags.encode()).hexdigest()[:8]
