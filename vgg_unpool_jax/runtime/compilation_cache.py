"""A cache of compiled programs for the next start."""

import hashlib
import logging
import os
import pathlib
import platform

import jax

_LOG = logging.getLogger(__name__)

# Programs that compile faster than this are not cached.
_MIN_SECONDS = 0.1


def keep_compiled(folder: str | os.PathLike) -> None:
    """Cache compiled programs in a folder.

    If JAX_COMPILATION_CACHE_DIR is set, JAX uses that folder and nothing is changed
    here. Programs for a CPU may use all of its instructions, so each kind of CPU has
    its own subfolder, for home folders that several machines share. The cache is never
    emptied; it may be deleted at any time.

    Args:
      folder: created when missing; if that fails, a warning is logged and nothing is
        cached.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    folder = pathlib.Path(folder) / cpu_name()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _LOG.warning("compiled programs are not kept: %s", error)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)


def cpu_name() -> str:
    """A short name of the kind of CPU, by its set of instructions."""
    flags = platform.processor()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                flags = line
                break
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
