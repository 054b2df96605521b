"""Where a number comes from: code, versions, hardware, configuration, date."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

from vgg_unpool_jax import version
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.runtime.cpu_devices import core_count

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def _git(*arguments: str) -> str | None:
    """Output of a git command beside the package; None if git cannot answer."""
    # Without optional locks `git status` does not write to the checkout.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    except FileNotFoundError:  # git is not installed
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _git_state() -> dict[str, Any] | None:
    # A package that is installed inside somebody's checkout (a virtual environment in
    # a repository) is not part of it: only a tracked package has a commit.
    if _git("ls-files", "--error-unmatch", "version.py") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _cpu_model() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def provenance(config: Any, *, workdir: str | os.PathLike | None = None) -> dict:
    """Everything that is needed to reproduce a result.

    Args:
      config: the configuration of the experiment, a mapping or a ConfigDict; it is
        stored as given.
      workdir: the folder of the run that was evaluated, if there is one.

    Returns:
      A dict for `write_results` with the keys `config`, `date` (UTC, ISO 8601), `git`
      (`commit` and `dirty`, which is true if a tracked file differs from the commit;
      None outside a checkout or without git), `hardware`, `versions` and `workdir`.
    """
    devices = jax.devices()
    packages = ("jax", "jaxlib", "flax", "numpy")
    return {
        "config": config,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": _git_state(),
        "hardware": {
            "platform": devices[0].platform,
            "device_kind": devices[0].device_kind,
            "device_count": len(devices),
            "cpu_model": _cpu_model(),
            "cpu_cores": core_count(),
        },
        "versions": {
            "python": platform.python_version(),
            "vgg_unpool_jax": version.__version__,
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "workdir": None if workdir is None else paths.resolved(workdir),
    }
