"""SIGTERM during a run: the step is saved, the same call goes on from there."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from vgg_unpool_jax.errors import PreemptedError
from vgg_unpool_jax.runtime.preemption import EXIT_STATUS, StopRequest
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.training import trainer
from vgg_unpool_jax.training.checkpoints import Checkpoints


@pytest.fixture
def signal_at_batch(monkeypatch):
    """A function n -> the process is sent SIGTERM when it asks for its nth batch."""
    next_batch = trainer._next_batch

    def install(number):
        count = iter(range(1, 1000))

        def signalling(*args):
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGTERM)
            return next_batch(*args)

        monkeypatch.setattr(trainer, "_next_batch", signalling)

    return install


@pytest.mark.parametrize("batch", [1, 5])
def test_a_run_that_is_asked_to_stop_ends_in_the_same_bits(
    batch,
    signal_at_batch,
    make_config,
    tmp_path,
    uninterrupted,
    assert_same_tree,
    read_scalars,
):
    config, before = make_config(), signal.getsignal(signal.SIGTERM)
    signal_at_batch(batch)
    with pytest.raises(PreemptedError, match=rf"saved step {batch} of 6 in") as stopped:
        train_and_evaluate(config, tmp_path)
    assert stopped.value.step == batch
    assert signal.getsignal(signal.SIGTERM) == before
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.latest_step() == batch
    signal_at_batch(0)
    result = train_and_evaluate(config, tmp_path)
    assert_same_tree(result.state, uninterrupted.result.state)
    logged = [step for step, _ in read_scalars(tmp_path)["train/loss"]]
    assert logged == [1, 2, 3, 4, 5, 6]


def test_a_second_signal_ends_the_process_as_it_would_have():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("ended"))
    try:
        with StopRequest() as stop:
            assert not stop.reached(1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.reached(2) and stop.noted() and not seen
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == ["ended"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_no_signal_is_looked_for():
    handlers = []

    def run():
        with StopRequest() as stop:
            handlers.append((signal.getsignal(signal.SIGTERM), stop.reached(1)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [(signal.getsignal(signal.SIGTERM), False)]


def test_a_command_ends_with_a_status_of_its_own():
    program = (
        "from experiments.cli import command\n"
        "from vgg_unpool_jax.errors import PreemptedError\n"
        "def main(): raise PreemptedError(3, 10, 'runs/x')\n"
        "command.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == EXIT_STATUS == 75
    assert done.stderr.endswith(
        "asked to stop, the training saved step 3 of 10 in runs/x; the same command "
        "resumes it\n"
    )
