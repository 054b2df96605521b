"""Rows of a benchmark: what was measured, what was left out, and the table of it."""

import dataclasses
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from benchmarks.limits import Limits
from benchmarks.settings import Settings
from benchmarks.timing import LEAST_SECONDS, Candidate, Timing, compare


@dataclasses.dataclass(frozen=True)
class Case:
    """Work that several candidates do.

    Attributes:
      suite: its suite.
      name: as the table shows it.
      dtype: of the arrays.
      amount: bytes or FLOPs of a call.
      limit: "copy" (of bytes), "matmul" (of FLOPs) or "" where there is none.
      facts: further columns of every row.
    """

    suite: str
    name: str
    dtype: str = "float32"
    amount: float = 0
    limit: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Report:
    """Rows as they come in.

    Attributes:
      rows: one dict for each case and candidate.
      skipped: what was not measured, and why.
      seed: of the random inputs, another one in every run.
      generator: where they come from.
    """

    def __init__(self, settings: Settings, notify: Callable[[str], None]):
        """Begin.

        Args:
          settings: of the run.
          notify: is told what is going on.
        """
        self.settings = settings
        self.notify = notify
        self.rows: list[dict] = []
        self.skipped: list[dict] = []
        self.seed = secrets.randbits(32)
        self.generator = np.random.default_rng(self.seed)

    def wants(self, name: str) -> bool:
        """Whether a case of this name was asked for."""
        return re.search(self.settings.cases, name) is not None

    def skip(self, suite: str, case: str, candidate: str, reason: str) -> None:
        """Say that something is not measured."""
        entry = {"suite": suite, "case": case, "candidate": candidate}
        self.skipped.append(entry | {"reason": reason})
        self.notify(f"{suite}: {case}: {candidate} is left out: {reason}")

    def time(self, case: Case, candidates: Mapping[str, Candidate]) -> None:
        """Time the candidates of a case, in turn, and keep their rows."""
        self.notify(f"{case.suite}: {case.name}")
        least = 0.0 if self.settings.small else LEAST_SECONDS
        timings = compare(candidates, self.settings.repetitions, least_seconds=least)
        for name, candidate in candidates.items():
            self.rows.append(make_row(case, name, candidates, timings))
            self.rows[-1]["peer"] = candidate.peer

    def finish(self, limits: Limits) -> None:
        """Hold all rows against the limits, once these are known."""
        for row in self.rows:
            if row["limit"]:
                rate = limits.rate(row["limit"], row["dtype"])
                row["fraction_of_limit"] = row["rate"] / rate


def make_row(
    case: Case,
    name: str,
    candidates: Mapping[str, Candidate],
    timings: Mapping[str, Timing],
) -> dict:
    """The row of one candidate.

    `ratios` holds, for every other candidate that is a peer, its median as a multiple
    of this row's: above 1 this row's program is the faster one.
    """
    timing, candidate = timings[name], candidates[name]
    amount = case.amount if candidate.amount is None else candidate.amount
    return {
        "suite": case.suite,
        "case": case.name,
        "dtype": case.dtype,
        "candidate": name,
        "median_seconds": timing.median,
        "spread": timing.spread,
        "minimum_seconds": min(timing.samples),
        "maximum_seconds": max(timing.samples),
        "repetitions": len(timing.samples),
        "calls_per_repetition": timing.calls,
        "ratios": {
            other: timings[other].median / timing.median
            for other in candidates
            if candidates[other].peer and other != name
        },
        "limit": case.limit,
        "amount": amount,
        "rate": amount / timing.median,
        **case.facts,
        **candidate.facts,
    }


def is_unsupported(error: Exception) -> bool:
    """Whether a peer's error says that it cannot do this, or has not the memory."""
    words = (
        "not implemented",
        "not support",
        "unsupported",
        "no opkernel",
        "could not find device for node",
        "out of memory",
        "resource_exhausted",
        "oom when",
    )
    return any(word in str(error).lower() for word in words)


def platform() -> str:
    """The platform that jax computes on: cpu, gpu or tpu."""
    return jax.default_backend()
