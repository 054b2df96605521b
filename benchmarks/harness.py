"""Cases, candidates and the rows of the table: what all suites share."""

import dataclasses
import importlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.timing import LEAST_SECONDS, Timing, compare
from vgg_unpool_jax.errors import ConfigError, first_line

SUITES = (
    "ops",
    "convolution",
    "losses",
    "step",
    "data",
    "reconstruct",
    "checkpoints",
    "stylize",
    "start",
)
DTYPES = ("float32", "bfloat16")
PEERS = ("torch", "tensorflow")
LEAST_REPETITIONS = 7


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how often.

    Attributes:
      suites: any of `SUITES`.
      peers: names of the programs to compare with.
      repetitions: turns of every comparison.
      small: tiny arrays, for tests; the times then mean nothing.
      all_shapes: also those that take a CPU more than ten minutes.
      cases: a regular expression; only cases with a match in their name are measured.
      dtypes: any of `DTYPES`.
      blocks: of the pairs whose training step or checkpoint is measured.
      batch_size: of a training step; 0 is 4 on a CPU and 32 elsewhere.
      image_size: of a training step; 0 is 192 on a CPU and 256 elsewhere.
      ours: FIELD=VALUE of the config, each a further candidate of a training step.
      photos: folder with the photos of the data suite; "" is the sample photos.
      seconds: no case begins later than this after the start, and a candidate with
        another result is left out instead of stopping the run; 0 is no limit.
    """

    suites: Sequence[str] = SUITES
    peers: Sequence[str] = PEERS
    repetitions: int = LEAST_REPETITIONS
    small: bool = False
    all_shapes: bool = False
    cases: str = ""
    dtypes: Sequence[str] = DTYPES
    blocks: Sequence[int] = (1, 3, 5)
    batch_size: int = 0
    image_size: int = 0
    ours: Sequence[str] = ()
    photos: str = ""
    seconds: float = 0.0

    def __post_init__(self):
        _require_known("--suite", self.suites, (*SUITES, "all"))
        _require_known("--dtypes", self.dtypes, DTYPES)
        _require_known("--blocks", self.blocks, (1, 2, 3, 4, 5))
        if "all" in self.suites:
            object.__setattr__(self, "suites", SUITES)
        least = 1 if self.small else LEAST_REPETITIONS
        if self.repetitions < least:
            raise ConfigError(
                f"--repetitions must be at least {least}, got {self.repetitions}"
            )

    @property
    def step_shape(self) -> tuple[int, int]:
        """(batch size, side in pixels) of a training step."""
        batch, size = (4, 192) if platform() == "cpu" else (32, 256)
        if self.small:
            batch, size = 1, 32
        return self.batch_size or batch, self.image_size or size


def _require_known(flag: str, values: Sequence, known: Sequence) -> None:
    for value in values or [""]:
        if value not in known:
            listed = ", ".join(map(str, known))
            raise ConfigError(f"{flag} must be some of {listed}; got {value!r}")


def platform() -> str:
    """The platform that jax computes on: cpu, gpu or tpu."""
    return jax.default_backend()


class Peers:
    """Which other programs take part.

    Attributes:
      versions: of those that take part, by name.
      missing: reasons of those that were asked for and cannot, by name.
    """

    def __init__(self, names: Sequence[str]):
        """Import the peers, any of `PEERS`."""
        self.versions: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        for name in names:
            _require_known("--peers", [name], PEERS)
            try:
                self.versions[name] = _import_peer(name)
            except (ImportError, OSError) as error:  # OSError: a library it links
                self.missing[name] = str(error)

    def __contains__(self, name: str) -> bool:
        return name in self.versions


def _import_peer(name: str) -> str:
    # Its messages would stand between the rows of the table.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Otherwise torch's OpenMP threads spin while they wait. Beside the threads of other
    # programs two of them share a core, spin each other's time slice away, and a call
    # of 0.1 ms takes 8 (measured on two cores). Sleeping costs at most 0.1 ms a call.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    module = importlib.import_module(name)
    if platform() == "cpu":
        return module.__version__
    if name == "torch":
        reaches = platform() == "gpu" and module.cuda.is_available()
        # As XLA, which tries algorithms before the first call; shapes are fixed.
        module.backends.cudnn.benchmark = True
    else:
        reaches = bool(module.config.list_physical_devices(platform().upper()))
        for device in module.config.list_physical_devices("GPU"):
            # By default it takes all memory of the device at once.
            module.config.experimental.set_memory_growth(device, True)
    if not reaches:
        raise ImportError(
            f"{name} {module.__version__} is installed, but does not reach the "
            f"{platform()} that jax uses"
        )
    return module.__version__


def names_of_models(models: Sequence[str]) -> list[str]:
    """The last part of each path of the flag --model; no two may be equal."""
    names = [os.path.basename(model.rstrip("/")) for model in models]
    if len(set(names)) < len(names):
        raise ConfigError(f"--model must have different last names, got {names}")
    return names


def is_unsupported(error: Exception) -> bool:
    """Whether an error of a program means that it has not the operation or memory."""
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


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One program of a comparison.

    Attributes:
      run: does the work once.
      wait: takes what `run` returned and returns when it is computed.
      result: gives the arrays or numbers by name that all candidates have to agree in.
      peer: "torch" or "tensorflow", None for a program of ours.
      amount: bytes or FLOPs of a call, if not those of the case.
      facts: further numbers for the candidate's row.
      times_itself: `run` returns the seconds that count, and is not timed.
    """

    run: Callable[[], Any]
    wait: Callable[[Any], Any] = jax.block_until_ready
    result: Callable[[], Mapping[str, Any]] = dict
    peer: str | None = None
    amount: float | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    times_itself: bool = False


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


class MismatchError(Exception):
    """A candidate gives other numbers than ours: its time means nothing."""


def require_close(
    case: str, name: str, found: Mapping, expected: Mapping, tolerance: float
) -> None:
    """Raise `MismatchError` unless a candidate's numbers are close to ours.

    Args:
      case: name of the case.
      name: of the candidate.
      found: its numbers or arrays by name.
      expected: ours; other names in `found` are not compared.
      tolerance: largest norm of the difference as a share of the norm of ours; with 0
        all elements must be equal.
    """
    for key, value in expected.items():
        if key not in found:
            raise MismatchError(f"{case}: {name} gives no {key}, and ours does")
        ours, other = np.asarray(value, np.float64), np.asarray(found[key], np.float64)
        if ours.shape != other.shape:
            raise MismatchError(
                f"{case}: {name} gives {key} of shape {other.shape}, ours {ours.shape}"
            )
        norm = np.linalg.norm(ours)
        share = np.linalg.norm(other - ours) / (norm if norm > 0 else 1)
        if not share <= tolerance:  # also for NaN
            raise MismatchError(
                f"{case}: {key} of {name} differs from ours by {share:.2g} of its "
                f"norm, and at most {tolerance:g} is rounding"
            )


class Report:
    """Rows as they come in.

    Attributes:
      settings: of the run.
      peers: that take part.
      notify: prints progress.
      rows: one dict for each case and candidate.
      skipped: what was not measured, and why.
      seed: of the random inputs, another one in every run.
      generator: of the random inputs.
      keep: called after every case; does nothing by default.
    """

    def __init__(self, settings: Settings, peers: Peers, notify: Callable[[str], None]):
        """Begin without rows."""
        self.keep: Callable[[], None] = lambda: None
        self.settings, self.peers, self.notify = settings, peers, notify
        self.rows: list[dict] = []
        self.skipped: list[dict] = []
        self._began = time.monotonic()
        self.seed = secrets.randbits(32)
        self.generator = np.random.default_rng(self.seed)

    def wants(self, name: str) -> bool:
        """Whether a case of this name is asked for, and there is time for it."""
        if re.search(self.settings.cases, name) is None:
            return False
        limit = self.settings.seconds
        if limit and time.monotonic() - self._began > limit:
            self.skip("all", name, "all", f"the {limit:g} seconds are over")
            return False
        return True

    def skip(self, suite: str, case: str, candidate: str, reason: str) -> None:
        """Record that something is not measured."""
        entry = {"suite": suite, "case": case, "candidate": candidate}
        self.skipped.append(entry | {"reason": reason})
        self.notify(f"{suite}: {case}: {candidate} is left out: {reason}")

    def skip_peers(self, suite: str, *names: str) -> None:
        """Record that a suite does not have these peers."""
        for name in names:
            if name in self.peers:
                self.skip(suite, "all", name, "the suite has no such peer")

    def check(
        self,
        case: Case,
        builders: Iterable[tuple[str, Callable[[], Candidate]]],
        tolerance: float,
    ) -> dict[str, Candidate]:
        """The candidates that can do the work, all with the result of the first.

        Args:
          case: the work.
          builders: name and function that makes the candidate; ours first.
          tolerance: see `require_close`.
        """
        candidates, ours = {}, None
        for name, build in builders:
            try:
                candidate = build()
                found = candidate.result()
            except Exception as error:
                if ours is None or not is_unsupported(error):
                    raise
                self.skip(case.suite, case.name, name, first_line(error))
                continue
            ours = found if ours is None else ours
            try:
                require_close(case.name, name, found, ours, tolerance)
            except MismatchError as error:
                if not self.settings.seconds:
                    raise
                # There may be no second chance to measure the rest.
                self.skip(case.suite, case.name, name, first_line(error))
                continue
            candidates[name] = candidate
        return candidates

    def time(self, case: Case, candidates: Mapping[str, Candidate]) -> None:
        """Time the candidates of a case, in turn, and keep their rows."""
        self.notify(f"{case.suite}: {case.name}")
        least = 0.0 if self.settings.small else LEAST_SECONDS
        repetitions = self.settings.repetitions
        self.add_rows(
            case, candidates, compare(candidates, repetitions, least_seconds=least)
        )

    def add_rows(
        self,
        case: Case,
        candidates: Mapping[str, Candidate],
        timings: Mapping[str, Timing],
    ) -> None:
        """Keep a row for each candidate.

        `ratios` holds, for every other candidate that is a peer, its median as a
        multiple of this row's: above 1 this row's program is the faster one.
        """
        for name, candidate in candidates.items():
            timing = timings[name]
            amount = case.amount if candidate.amount is None else candidate.amount
            row = {
                "suite": case.suite,
                "case": case.name,
                "dtype": case.dtype,
                "candidate": name,
                "peer": candidate.peer,
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
            }
            self.rows.append(row | {**case.facts, **candidate.facts})
        self.keep()
