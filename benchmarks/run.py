"""One run: limits, suites, limits again, and the record of all that."""

import dataclasses
import importlib
import json
import os
from collections.abc import Callable

from benchmarks import limits, machine
from benchmarks.peers import Peers
from benchmarks.report import Report
from benchmarks.settings import Settings
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io.atomic import replacing

_MODULES = {
    "ops": "ops",
    "convolution": "convolutions",
    "losses": "losses",
    "step": "step",
    "data": "data_pipelines",
    "reconstruct": "reconstruction",
    "checkpoints": "checkpoint_saves",
    "stylize": "stylization",
}
_LIMIT_REPETITIONS = 5


def run_suites(settings: Settings, notify: Callable[[str], None]) -> dict:
    """Measure what the settings ask for.

    Args:
      settings: of the run.
      notify: is told what is going on.

    Returns:
      A JSON-ready dict: "suite" (names, joined by commas), "rows", "skipped",
      "limits", "missing_peers", "seed", "small" and "provenance".
    """
    machine.share_the_device()
    peers = Peers(settings.peers)
    report = Report(settings, notify)
    for name, reason in peers.missing:
        notify(f"the peer {name} is missing: {reason}")
    # Before anything else has used the machine, as the load average is among it.
    provenance = machine.describe(dataclasses.asdict(settings), peers)
    measurements = [_limits("before", settings, peers)]
    for suite in settings.suites:
        module = importlib.import_module(f"benchmarks.{_MODULES[suite]}")
        module.measure(settings, peers, report)
        measurements.append(_limits(f"after {suite}", settings, peers))
    # "all": peers that a suite does not have.
    skipped_cases = [entry for entry in report.skipped if entry["case"] != "all"]
    if not report.rows and not skipped_cases:
        raise ConfigError(f"no case has {settings.cases!r} in its name (--cases)")
    best = limits.best_of(measurements)
    report.finish(best)
    return {
        "suite": ",".join(settings.suites),
        "rows": report.rows,
        "skipped": report.skipped,
        "limits": best.record(),
        "missing_peers": [
            {"peer": name, "reason": reason} for name, reason in peers.missing
        ],
        "seed": report.seed,
        "small": settings.small,
        "provenance": provenance,
    }


def _limits(moment: str, settings: Settings, peers: Peers) -> dict:
    repetitions = 1 if settings.small else _LIMIT_REPETITIONS
    # float32 always: some suites have no other.
    dtypes = list(dict.fromkeys(["float32", *settings.dtypes]))
    return limits.measure(moment, dtypes, peers, repetitions, settings.small)


def write_record(path: str | os.PathLike, record: dict) -> None:
    """Write a record as JSON; the file is whole or not there."""
    with replacing(path) as file:
        file.write((json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
