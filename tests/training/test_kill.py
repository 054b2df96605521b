"""`kill -9` of a real training process, and the same command again."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS, EVERY = 30, 5


def _command(photos, workdir):
    fields = {
        "num_steps": STEPS,
        "data.source": f"folder:{photos}",
        "data.image_size": 16,
        "evaluation.image_size": 16,
        "evaluation.every_steps": 1000,
        "checkpoints.every_steps": EVERY,
        "loss.ms_ssim": 0.0,
        "loss.perceptual": 0.0,
    }
    return [
        *(sys.executable, "-m", "experiments.train"),
        "--config=configs/vgg19_block1.py:runlocal",
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def _whole_checkpoints(workdir):
    names = [path.name for path in (workdir / "checkpoints").glob("*")]
    return sorted(int(name) for name in names if name.isdigit())


@pytest.mark.slow
@pytest.mark.extended
def test_a_killed_process_goes_on_from_its_last_checkpoint(
    photos, tmp_path, read_scalars
):
    workdir = tmp_path / "run"
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    command = _command(photos, workdir)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    # Killed between a checkpoint and the next, some steps after it.
    told = []
    for line in process.stderr:
        told.append(line)
        if f"step {2 * EVERY + 3} of {STEPS}" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL, "".join(told)
    last = _whole_checkpoints(workdir)[-1]
    assert last % EVERY == 0 and 0 < last < STEPS

    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"resuming {workdir} at step {last}" in done.stderr
    steps = [int(n) for n in re.findall(rf"step (\d+) of {STEPS}:", done.stderr)]
    assert steps == list(range(last + 1, STEPS + 1))
    assert f"step {STEPS} of {STEPS}" in done.stdout
    assert "\r" not in done.stderr  # no bar where there is no terminal
    # What was logged before the kill is there, and nothing twice.
    logged = [step for step, _ in read_scalars(workdir)["train/loss"]]
    assert logged == list(range(1, STEPS + 1))
