"""Progress on a terminal and in a file."""

import io
import logging
import re

import jax
import numpy as np
import pytest

from vgg_unpool_jax.training import progress, trainer
from vgg_unpool_jax.training.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_without_a_terminal_each_report_is_a_plain_line(clock, caplog):
    stream = io.StringIO()
    with (
        caplog.at_level(logging.INFO, "vgg_unpool_jax"),
        Progress(
            total_steps=40,
            first_step=0,
            count_photos=lambda step: 8 * step,
            stream=stream,
        ) as bar,
    ):
        clock.now += 20.0
        bar.waited(2.0)
        bar.waited(3.0)
        rates = bar.report(10, {"loss": 123.456})
        assert rates == {"images_per_second": 4.0, "data_wait": 0.25}  # 10·8 / 20 s
        clock.now += 5.0
        rates = bar.report(20, {"loss": 0.5})  # since the last report
        assert rates == {"images_per_second": 16.0, "data_wait": 0.0}
    lines = [record.getMessage() for record in caplog.records]
    # After 25 s half is done, so 25 s are left.
    assert lines == [
        "step 10 of 40: loss 123.5, 4.0 images/s, 25 % data wait, 0:01:00 left",
        "step 20 of 40: loss 0.5, 16.0 images/s, 0 % data wait, 0:00:25 left",
    ]
    assert stream.getvalue() == ""


def test_on_a_terminal_one_bar_is_drawn_over_and_no_line_is_logged(caplog):
    stream = _Terminal()
    with (
        caplog.at_level(logging.INFO, "vgg_unpool_jax"),
        Progress(
            total_steps=40,
            first_step=10,
            count_photos=lambda step: 8 * step,
            stream=stream,
        ) as bar,
    ):
        bar.report(20, {"loss": 123.456})
        bar.report(40, {"loss": 1.5})
    drawn = stream.getvalue()
    assert not caplog.records
    assert drawn.count("\n") == 1  # where the bar ends
    first, *_, last = drawn.strip().split("\r")
    assert "10/40" in first
    assert "40/40" in last and "loss 1.5" in last and "img/s" in last
    assert re.search(r"\[\d\d:\d\d<\d\d:\d\d", last)  # elapsed and left


def test_time_of_a_pause_counts_in_no_rate(clock):
    bar = Progress(
        total_steps=100,
        first_step=0,
        count_photos=lambda step: 4 * step,
        stream=io.StringIO(),
    )
    with bar.paused():
        clock.now += 1000.0
    clock.now += 2.0
    assert bar.report(10, {"loss": 1.0})["images_per_second"] == pytest.approx(
        10 * 4 / 2.0
    )


@pytest.mark.parametrize(("ready", "counted"), [(True, [3.0]), (False, [])])
def test_a_wait_counts_unless_the_devices_are_busy(monkeypatch, ready, counted):
    class Clock:
        now = 0.0

    class Loader:
        def __next__(self):
            Clock.now += 3.0
            count = jax.local_device_count()
            images = np.zeros((count, 2, 2, 3), np.uint8)
            return {"image": images, "index": np.arange(count)}

    class Norm:
        def is_ready(self):
            return ready

    class Listener:
        def __init__(self):
            self.waits = []

        def waited(self, seconds):
            self.waits.append(seconds)

    monkeypatch.setattr(trainer.time, "monotonic", lambda: Clock.now)
    listener = Listener()
    trainer._next_batch(Loader(), [(1, {"gradient_norm": Norm()})], listener)
    assert listener.waits == counted
    trainer._next_batch(Loader(), [], listener)  # nothing was dispatched since a log
    assert listener.waits == [*counted, 3.0]


def test_a_loop_is_a_plain_line_now_and_then_or_a_bar(clock, caplog):
    def work(stream):
        for item in progress.follow([3, 4, 5, 6], desc="sky, transfer", stream=stream):
            clock.now += 6.0
            yield item

    stream = io.StringIO()
    with caplog.at_level(logging.INFO, "vgg_unpool_jax"):
        assert list(work(stream)) == [3, 4, 5, 6]
    assert stream.getvalue() == ""
    # At 6 s it is too early, at 18 s the last line is too fresh.
    assert caplog.messages == ["sky, transfer 2 of 4, 0:00:12 left"]
    caplog.clear()
    terminal = _Terminal()
    assert list(work(terminal)) == [3, 4, 5, 6]
    assert "sky, transfer:" in terminal.getvalue() and not caplog.messages
