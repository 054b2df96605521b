"""Gradients that are not finite, readers that die, photos that vanish."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.extended]

# The command, with a gradient that is not a number at one step.
_POISONED = """
import dataclasses, sys
import jax, jax.numpy as jnp
from vgg_unpool_jax.systems.unpooling import system

AT = int(sys.argv.pop(1))

@jax.custom_vjp
def poison(params, step):
    return params

def forward(params, step):
    return params, step

def backward(step, gradients):
    spoil = lambda leaf: leaf.at[(0,) * leaf.ndim].set(
        jnp.where(step == AT, jnp.nan, leaf[(0,) * leaf.ndim]))
    return jax.tree.map(spoil, gradients), None

poison.defvjp(forward, backward)
make_objective = system.SYSTEM.make_objective

def make_poisoned(*arguments):
    objective = make_objective(*arguments)
    losses = objective.losses
    def poisoned(params, state, batch, keys, train):
        if train:
            params = poison(params, batch["step"])
        return losses(params, state, batch, keys, train)
    object.__setattr__(objective, "losses", poisoned)
    return objective

system.SYSTEM = dataclasses.replace(system.SYSTEM, make_objective=make_poisoned)
from absl import flags
from experiments import train
from experiments.cli import command
command.run(train.main, shares_work=True)
"""


@pytest.mark.fault("a gradient is NaN")
def test_a_gradient_is_not_a_number(
    make_training, undisturbed, assert_same_state, tmp_path
):
    # Metrics are read before a checkpoint, however seldom they are logged.
    training = make_training(tmp_path, log_every_steps=100)
    # Steps count from 0 in the program and from 1 in what it says.
    arguments = training.command()[3:]
    done = subprocess.run(
        [sys.executable, "-c", _POISONED, "22", *arguments],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        "error: training stopped at step 23: gradient_norm is nan, parameter_norm is "
        "nan; the newest checkpoint, of step 20, is from before"
    )
    assert training.last_checkpoint() == 20
    status, told = training.run(log_every_steps=1)
    assert status == 0, told
    assert f"resuming {training.workdir} at step 20" in told
    assert_same_state(training, undisturbed)


def _readers_of(process: subprocess.Popen) -> list[int]:
    """Reader processes: children that were spawned, without Python's own tracker."""
    found = []
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:  # a thread that ended since; readers' parents do not
            continue
        for pid in children:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"spawn_main" in command:
                found.append(int(pid))
    return found


@pytest.mark.fault("a reader process is killed")
def test_a_reader_process_is_killed(
    make_training, undisturbed, assert_same_end, tmp_path
):
    training = make_training(tmp_path)
    process = training.start(**{"data.num_workers": 1})
    training.wait_for(process, "step 8 of 40: loss")
    (reader,) = _readers_of(process)
    os.kill(reader, signal.SIGKILL)
    assert process.wait(timeout=100) == 1
    assert re.search(
        r"^error: a reader process of folder .* has died. Was it killed for lack of "
        r"memory, or is /dev/shm too small",
        training.told(),
        re.MULTILINE,
    ), training.told()
    assert "Traceback" not in training.told()
    # On with two, and at the end with none.
    told = len(training.told())
    process = training.start(**{"data.num_workers": 2})
    training.wait_for(process, "step 18 of 40: loss", after=told)
    process.terminate()
    assert process.wait(timeout=60) == 75
    assert training.run()[0] == 0
    assert_same_end(training, undisturbed)


@pytest.mark.fault("the source folder goes away")
def test_the_folder_of_photos_goes_away_and_comes_back(
    make_training, make_photos, assert_same_end, tmp_path
):
    """As when a network drive is not there for a while."""
    folder = make_photos(tmp_path / "photos")
    fields = {"num_steps": 200, "data__source": f"folder:{folder}"}
    calm = make_training(tmp_path / "calm", **fields)
    assert calm.run()[0] == 0
    training = make_training(tmp_path / "disturbed", **fields)
    process = training.start()
    training.wait_for(process, "step 7 of 200: loss")
    folder.rename(tmp_path / "away")
    assert process.wait(timeout=100) == 1
    told = training.told()
    assert re.search(r"^error: .* photos? .*are broken", told, re.MULTILINE), told
    assert "Traceback" not in told
    status, told = training.run()
    assert status == 1
    assert str(folder) in told.strip().splitlines()[-1]
    assert told.strip().splitlines()[-1].startswith("error: ")
    (tmp_path / "away").rename(folder)
    status, told = training.run()
    assert status == 0, told
    assert_same_end(training, calm)


@pytest.mark.fault("a photo vanishes")
def test_a_photo_vanishes(make_training, make_photos, tmp_path):
    folder = make_photos(tmp_path / "photos")
    fields = {"num_steps": 200, "data__source": f"folder:{folder}"}
    training = make_training(tmp_path, **fields, data__max_broken_share=0.2)
    process = training.start()
    training.wait_for(process, "step 7 of 200: loss")
    photo = min(folder.iterdir())
    photo.unlink()
    assert process.wait(timeout=100) == 0, training.told()
    told = training.told()
    assert told.count(f"skipped a broken photo: photo {photo.name} cannot be") == 1, (
        told
    )
    assert training.logged_steps() == list(range(1, 201))
