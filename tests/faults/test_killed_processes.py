"""Processes that are ended from outside: the same command goes on, to the same bits."""

import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from vgg_unpool_jax.runtime.preemption import EXIT_STATUS

_STEPS, _EVERY = 600, 10


def _wait_until(process, condition, seconds=150):
    """Look without pause: some of these moments last milliseconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the training ended before it was killed"
        assert time.monotonic() < end


@pytest.mark.fault("`kill -9`")
@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.timeout(900)
def test_kill_9_at_random_moments(make_training, assert_same_end, kill_all, tmp_path):
    fields = {
        "num_steps": _STEPS,
        "checkpoints__every_steps": _EVERY,
        "evaluation__every_steps": 250,
    }
    training = make_training(tmp_path / "killed", **fields)
    draw = random.Random(20)
    moments = ["starting"] * 2 + ["step"] * 3 + ["saving"] * 4
    draw.shuffle(moments)
    in_a_save = 0
    for moment in moments:
        told = len(training.told())
        left = {path.stat().st_ino for path in training.unfinished()}
        process = training.start()
        if moment == "starting":
            time.sleep(draw.uniform(0.1, 3.0))
        else:
            wanted = training.last_checkpoint() + _EVERY * draw.randint(1, 4)
            _wait_until(process, lambda n=wanted: training.last_checkpoint() >= n)
            if moment == "step":
                time.sleep(draw.uniform(0.0, 0.3))
            else:
                _wait_until(process, training.unfinished)
                time.sleep(draw.uniform(0.0, 0.01))
        assert kill_all(process) == -signal.SIGKILL, training.told()[told:]
        in_a_save += any(
            path.stat().st_ino not in left for path in training.unfinished()
        )
    assert in_a_save >= 2
    before = training.last_checkpoint()
    assert 0 < before < _STEPS
    status, told = training.run()
    assert status == 0, told
    assert f"resuming {training.workdir} at step {before}" in told
    calm = make_training(tmp_path / "calm", **fields)
    assert calm.run()[0] == 0
    assert_same_end(training, calm)
    assert not (training.workdir / "damaged_checkpoints").exists()


@pytest.mark.fault("SIGTERM (preemption)")
@pytest.mark.slow
@pytest.mark.extended
def test_sigterm_at_three_moments(
    make_training, undisturbed, assert_same_end, tmp_path
):
    training = make_training(tmp_path)
    for step in (1, 7, 22):
        told = len(training.told())
        process = training.start()
        training.wait_for(process, f"step {step} of 40: loss", after=told)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == EXIT_STATUS
        saved = training.last_checkpoint()
        assert f"saved step {saved} of 40 in {training.workdir}" in training.told()
        assert step <= saved < 40
    assert training.run()[0] == 0
    assert_same_end(training, undisturbed)


def _trainings_of(launcher: subprocess.Popen) -> list[int]:
    """The processes that the launcher started, in their order."""
    children = pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


@pytest.mark.fault("one of several processes dies")
@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.timeout(600)
def test_one_of_two_processes_is_killed(make_training, assert_same_end, tmp_path):
    # Enough steps that neither is at the end before the other is killed.
    fields = {"num_steps": 120, "checkpoints__every_steps": 10, "data__batch_size": 4}
    fields |= {"evaluation__batch_size": 4, "evaluation__every_steps": 120}
    training = make_training(tmp_path / "killed", **fields)
    for victim in (0, 1):
        told, last = len(training.told()), training.last_checkpoint()
        launcher = training.start(training.shared_by(2, grace=10))
        _wait_until(launcher, lambda n=last: training.last_checkpoint() > n)
        os.kill(_trainings_of(launcher)[victim], signal.SIGKILL)
        assert launcher.wait(timeout=150) == 128 + signal.SIGKILL
        said = training.told()[told:]
        assert f"process {victim} ended by signal 9" in said
        # The survivor says why it ended, in one sentence, unless it had no time to.
        assert "Traceback" not in said
        resumed_at = training.last_checkpoint()
        assert last < resumed_at < 120
    status, told = training.run(training.shared_by(2))
    assert status == 0, told
    # Both, or they would wait for each other's batches for ever.
    logs = (training.workdir.parent / "logs" / "process-1.log").read_text()
    for process in (told, logs):
        assert f"resuming {training.workdir} at step {resumed_at}" in process
    calm = make_training(tmp_path / "calm", **fields)
    assert calm.run(calm.shared_by(2))[0] == 0
    assert_same_end(training, calm)
