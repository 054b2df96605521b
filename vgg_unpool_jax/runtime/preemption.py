"""Being asked to stop: SIGTERM, which batch systems and clouds send before they kill.

A training saves its current step then and ends with `EXIT_STATUS`, by which whoever
started it knows that the same command goes on from there.
"""

import signal
import threading

import jax
from jax.experimental import multihost_utils

# EX_TEMPFAIL of sysexits.h: nothing is wrong, try again.
EXIT_STATUS = 75


class StopRequest:
    """Notices SIGTERM; use as a context manager around the steps.

    The first signal is noted, a second one ends the process at once. In another thread
    than the main one, where Python forbids it, no signal is looked for. Of several
    processes one signal stops all, at the same step; there jax's distributed runtime
    does the noticing.
    """

    def __init__(self):
        """Nothing is changed yet."""
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
        """Whether this process was asked; never where there are several."""
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
