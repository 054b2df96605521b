"""Times of several programs that do the same, taken in turn within one run.

On a machine with changing load A A A B B B compares two moments, A B A B two programs.
"""

import dataclasses
import gc
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

# A repetition lasts at least so long, that the clock and its reader do not count.
LEAST_SECONDS = 0.02
_MOST_CALLS = 1000


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One program of a comparison.

    Attributes:
      run: does the work once.
      wait: takes what `run` returned and comes back when it is computed.
      peer: "torch" or "tensorflow" for a peer, None for a program of ours.
      amount: what the program has to move (bytes) or to compute (FLOPs) in a call;
        None is what the case says.
      facts: further numbers for the candidate's row.
      times_itself: `run` returns the seconds that count, and is not timed.
    """

    run: Callable[[], Any]
    wait: Callable[[Any], Any] = jax.block_until_ready
    peer: str | None = None
    amount: float | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    times_itself: bool = False

    def __call__(self):
        """Do the work once and return its result when it is there."""
        result = self.run()
        self.wait(result)
        return result


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one call of a program.

    Attributes:
      samples: one number for each repetition: its mean over `calls` calls.
      calls: how many calls a repetition has.
    """

    samples: tuple[float, ...]
    calls: int

    @property
    def median(self) -> float:
        """Median over the repetitions, seconds."""
        return float(np.median(self.samples))

    @property
    def spread(self) -> float:
        """Interquartile range as a share of the median."""
        low, high = np.percentile(self.samples, [25, 75])
        return float((high - low) / self.median)


def compare(
    candidates: Mapping[str, Candidate],
    repetitions: int,
    *,
    least_seconds: float = LEAST_SECONDS,
    block_each_call: bool | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time candidates in turn: A B C A B C ….

    Args:
      candidates: programs by name.
      repetitions: number of turns, at least 1.
      least_seconds: a shorter call is repeated inside its turn until it lasts so long.
      block_each_call: whether every call is waited for, or only the last of a turn. By
        default each on a CPU. An accelerator works off a queue, and waiting for each
        call would measure how fast the host fills it.
      clock: seconds, for tests.

    Returns:
      Timings by the names of the candidates.
    """
    if block_each_call is None:
        block_each_call = jax.default_backend() == "cpu"
    # A collection in the middle would come at some program's expense.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _compare(candidates, repetitions, least_seconds, block_each_call, clock)
    finally:
        if collects:
            gc.enable()


def _compare(candidates, repetitions, least_seconds, block_each_call, clock):
    calls = {}
    for name, candidate in candidates.items():
        _turn(candidate, 1, True, clock)
        # The second call is warm, and says how many of them make a turn.
        warm = max(_turn(candidate, 1, True, clock), 1e-9)
        wanted = 1 if candidate.times_itself else math.ceil(least_seconds / warm)
        calls[name] = min(max(wanted, 1), _MOST_CALLS)
    samples = {name: [] for name in candidates}
    for _ in range(repetitions):
        for name, candidate in candidates.items():
            seconds = _turn(candidate, calls[name], block_each_call, clock)
            samples[name].append(seconds)
    return {name: Timing(tuple(samples[name]), calls[name]) for name in candidates}


def _turn(candidate: Candidate, calls: int, block_each_call: bool, clock) -> float:
    """Mean seconds of so many calls, the last of which is always waited for."""
    if candidate.times_itself:
        return float(candidate.run())
    result = None
    began = clock()
    for _ in range(calls):
        # What came before is given up first: an output that is still held would make
        # every program ask for new memory.
        result = None
        result = candidate.run()
        if block_each_call:
            candidate.wait(result)
    if not block_each_call:
        candidate.wait(result)
    return (clock() - began) / calls
