"""Times of several programs that do the same, taken in turn within one run.

On a machine with changing load A A A B B B compares two moments, A B A B two programs.
"""

import dataclasses
import gc
import math
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np

# Each repetition takes at least this long, so that reading the clock does not count.
LEAST_SECONDS = 0.02
_MOST_CALLS = 1000


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one call of a program.

    Attributes:
      samples: one number for each repetition: its mean over `calls` calls.
      calls: number of calls in a repetition.
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
    candidates: Mapping,
    repetitions: int,
    *,
    least_seconds: float = LEAST_SECONDS,
    block_each_call: bool | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time candidates in turn: A B C A B C ….

    Args:
      candidates: `harness.Candidate` by name.
      repetitions: number of turns, at least 1.
      least_seconds: a shorter call is repeated inside its turn to fill this time.
      block_each_call: whether every call is waited for, or only the last of a turn. By
        default each on a CPU. An accelerator works off a queue, and waiting for each
        call would measure how fast the host fills it.
      clock: seconds, for tests.

    Returns:
      Timings by the names of the candidates.
    """
    if block_each_call is None:
        block_each_call = jax.default_backend() == "cpu"
    # A garbage collection would count for the program during which it runs.
    collects = gc.isenabled()
    gc.disable()
    try:
        calls = {}
        for name, candidate in candidates.items():
            _turn(candidate, 1, True, clock)
            # The second call is warm, and says how many of them make a turn.
            warm = max(_turn(candidate, 1, True, clock), 1e-9)
            count = 1 if candidate.times_itself else math.ceil(least_seconds / warm)
            calls[name] = min(max(count, 1), _MOST_CALLS)
        samples = {name: [] for name in candidates}
        for _ in range(repetitions):
            for name, candidate in candidates.items():
                seconds = _turn(candidate, calls[name], block_each_call, clock)
                samples[name].append(seconds)
    finally:
        if collects:
            gc.enable()
    return {name: Timing(tuple(samples[name]), calls[name]) for name in candidates}


def _turn(candidate, calls: int, block_each_call: bool, clock) -> float:
    """Mean seconds of a number of calls; the last is always waited for."""
    if candidate.times_itself:
        return float(candidate.run())
    result = None
    began = clock()
    for _ in range(calls):
        # The previous result is freed first: an output that is still held would make
        # every program ask for new memory.
        result = None
        result = candidate.run()
        if block_each_call:
            candidate.wait(result)
    if not block_each_call:
        candidate.wait(result)
    return (clock() - began) / calls
