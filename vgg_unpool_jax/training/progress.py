"""A progress bar on a terminal, plain lines elsewhere."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from tqdm import tqdm

_LOG = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows loss, images per second and the time left; use as a context manager.

    On a terminal it is one bar; otherwise each report is a line of the log, which can
    be read in files and batch systems.
    """

    def __init__(
        self,
        *,
        total_steps: int,
        first_step: int,
        count_photos: Callable[[int], int],
        stream: TextIO | None = None,
    ):
        """Start the clock.

        Args:
          total_steps: steps of the whole run.
          first_step: steps that were done before this start.
          count_photos: step -> photos of all steps up to it, over all devices.
          stream: where to draw; default is standard error.
        """
        stream = sys.stderr if stream is None else stream
        self._total, self._count_photos = total_steps, count_photos
        self._step = self._first = first_step
        self._began = self._last_time = time.monotonic()
        self._waited = 0.0
        self._bar = None
        if stream.isatty():
            self._bar = tqdm(
                total=total_steps,
                initial=first_step,
                unit="step",
                file=stream,
                dynamic_ncols=True,
                smoothing=0.1,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    @contextlib.contextmanager
    def paused(self):
        """Exclude the time inside, such as of an evaluation, from the rates."""
        stopped = time.monotonic()
        yield
        away = time.monotonic() - stopped
        self._began += away
        self._last_time += away

    def waited(self, seconds: float) -> None:
        """Add a time during which the devices were idle, waiting for a batch."""
        self._waited += seconds

    def report(self, step: int, losses: Mapping[str, float]) -> dict[str, float]:
        """Report that `step` steps are done.

        Args:
          step: number of finished steps.
          losses: mean of each loss since the last report.

        Returns:
          "images_per_second" and "data_wait", the share of the time that the devices
          waited for data, both since the last report.
        """
        now = time.monotonic()
        elapsed = max(now - self._last_time, 1e-9)
        photos = self._count_photos(step) - self._count_photos(self._step)
        images_per_second = photos / elapsed
        data_wait = min(self._waited / elapsed, 1.0)
        shown = ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
        if self._bar is not None:
            self._bar.set_postfix_str(f"{shown}, {images_per_second:.1f} img/s")
            self._bar.update(step - self._step)
        else:
            done = max(step - self._first, 1)
            left = (now - self._began) / done * (self._total - step)
            _LOG.info(
                "step %d of %d: %s, %.1f images/s, %.0f %% data wait, %s left",
                step,
                self._total,
                shown,
                images_per_second,
                100 * data_wait,
                format_seconds(left),
            )
        self._step, self._last_time, self._waited = step, now, 0.0
        return {"images_per_second": images_per_second, "data_wait": data_wait}


def follow(
    items: Sequence, *, desc: str = "tiles", stream: TextIO | None = None
) -> Iterator:
    """Show how far a loop has come: a bar on a terminal, else now and then a line.

    Args:
      items: of the loop.
      desc: what they are.
      stream: where to draw; default is standard error.

    Yields:
      The items.
    """
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        options = {"desc": desc, "leave": False, "dynamic_ncols": True}
        yield from tqdm(items, file=stream, **options)
        return
    began = last = time.monotonic()
    for number, item in enumerate(items):
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            left = (now - began) / number * (len(items) - number)
            _LOG.info(
                "%s %d of %d, %s left", desc, number, len(items), format_seconds(left)
            )
            last = now
        yield item


def format_seconds(seconds: float) -> str:
    """Seconds as 0:00:00."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
