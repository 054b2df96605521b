"""One run: limits, suites, limits again, and the record of all that."""

import importlib
import os
from collections.abc import Callable

from benchmarks.harness import Peers, Report, Settings
from benchmarks.machine import add_shares, best_of, describe, measure_limits
from vgg_unpool_jax.errors import ConfigError

_MODULES = {
    "ops": "pooling",
    "convolution": "convolutions",
    "losses": "losses",
    "step": "step",
    "data": "data_pipelines",
    "reconstruct": "reconstruction",
    "checkpoints": "checkpoints",
    "stylize": "stylization",
    "start": "start",
}


def run_suites(
    settings: Settings,
    notify: Callable[[str], None],
    keep: Callable[[dict], None] = lambda record: None,
) -> dict:
    """Measure what the settings ask for.

    Args:
      settings: of the run.
      notify: prints progress.
      keep: gets the record of all that was measured so far, after every case.

    Returns:
      A JSON-ready dict: "suite" (names, joined by commas), "rows", "skipped",
      "limits", "missing_peers", "seed", "small" and "provenance".
    """
    # Otherwise jax takes most of an accelerator's memory, which peers need too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    peers = Peers(settings.peers)
    report = Report(settings, peers, notify)
    for name, reason in peers.missing.items():
        notify(f"the peer {name} is missing: {reason}")
    # Before anything else has used the machine, since it has the load average.
    provenance = describe(settings, peers)
    measurements = [measure_limits("before", settings, peers)]

    def record() -> dict:
        limits = best_of(measurements)
        add_shares(report.rows, limits)
        return {
            "suite": ",".join(settings.suites),
            "rows": report.rows,
            "skipped": report.skipped,
            "limits": limits,
            "missing_peers": [
                {"peer": name, "reason": reason}
                for name, reason in peers.missing.items()
            ],
            "seed": report.seed,
            "small": settings.small,
            "provenance": provenance,
        }

    report.keep = lambda: keep(record())
    for suite in settings.suites:
        importlib.import_module(f"benchmarks.{_MODULES[suite]}").measure(report)
        measurements.append(measure_limits(f"after {suite}", settings, peers))
    # "all": peers that a suite does not have.
    skipped_cases = [entry for entry in report.skipped if entry["case"] != "all"]
    if not report.rows and not skipped_cases:
        raise ConfigError(f"no case has {settings.cases!r} in its name (--cases)")
    return record()
