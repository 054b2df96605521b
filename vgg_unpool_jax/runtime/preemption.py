"""SIGTERM, which batch systems and clouds send before they kill a process.

A training then saves its current step and ends with `EXIT_STATUS`, which means that the
same command resumes it.
"""

import signal
import threading

import jax
from jax.experimental import multihost_utils

# EX_TEMPFAIL of sysexits.h: nothing is wrong, try again.
EXIT_STATUS = 75


class StopRequest:
    """Records SIGTERM; use as a context manager around the steps.

    The first signal is recorded, a second one ends the process at once. Python can
    handle signals only in the main thread; in other threads nothing is recorded. With
    several processes a signal to one of them stops all at the same step; there jax's
    distributed runtime receives the signal.
    """

    def __init__(self):
        """Install no handler yet."""
        self._noted = False
        self._previous = None

    def __enter__(self):
        in_main_thread = threading.current_thread() is threading.main_thread()
        if jax.process_count() == 1 and in_main_thread:
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_):
        self._restore()

    def noted(self) -> bool:
        """Whether this process has received SIGTERM; False with several processes."""
        return self._noted

    def reached(self, step: int) -> bool:
        """Whether to stop after this step; all processes must ask at every step."""
        if jax.process_count() == 1:
            return self._noted
        return multihost_utils.reached_preemption_sync_point(step)

    def _note(self, *_) -> None:
        self._noted = True
        self._restore()

    def _restore(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None
