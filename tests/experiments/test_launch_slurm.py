"""`launch.sh slurm` against stand-ins of sbatch, srun and scontrol."""

import pathlib
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.extended

HOSTILE = ["--config=a b.py:x", '--note=it\'s $HOME `date` "quoted" \\ *', "", "é\n"]


@pytest.fixture
def slurm(bench):
    bench.stand_in("sbatch", 'echo "Submitted batch job 7"')
    bench.stand_in("scontrol")
    # A stand-in of the environment's Python: made already, installs nothing.
    bench.stand_in("python", where=bench.folder / "venv" / "bin")
    return bench


def _submit(bench, *arguments, **more):
    """Submit; the file that sbatch got and its options."""
    done = bench.launch("slurm", *arguments, **more)
    assert done.returncode == 0, done.stderr
    (call,) = bench.calls("sbatch")
    return pathlib.Path(call[-1]), call[:-1], done


def _run(bench, file, srun, **more):
    """Run a batch file as SLURM does, with `srun` as the body of its stand-in."""
    bench.stand_in("srun", srun)
    return subprocess.run(
        ["bash", file],
        env=bench.environment(SLURM_JOB_ID="7", **more),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_file_goes_into_the_workdir_and_is_submitted(slurm):
    file, options, done = _submit(slurm, "train", "--workdir=w k", *HOSTILE)
    folder = slurm.folder / "w k" / "slurm"
    assert file.parent == folder and list(folder.iterdir()) == [file]
    assert options == [f"--output={folder}/%j.log", "--ntasks-per-node=1"]
    lines = file.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert {"#SBATCH --requeue", "#SBATCH --signal=TERM@120"} <= set(directives)
    assert "#SBATCH --open-mode=append" in directives
    # sbatch reads directives up to the first command.
    assert lines[1 : len(directives) + 1] == directives
    assert "Submitted batch job 7" in done.stdout and str(file) in done.stdout


def test_arguments_arrive_at_srun_as_they_were(slurm):
    file, _, _ = _submit(slurm, "train", *HOSTILE, VGG19_WEIGHTS="w 'x'.h5")
    done = _run(slurm, file, 'pwd; echo "$VGG19_WEIGHTS $ACCELERATOR"')
    assert done.returncode == 0, done.stderr
    (call,) = slurm.calls("srun")
    command = call.index("train")
    assert call[command + 1 :] == HOSTILE
    assert call[command - 1].endswith("/launch.sh")
    assert {"--kill-on-bad-exit=0", "--wait=120"} == set(call[: command - 1])
    assert done.stdout.splitlines()[-2:] == [str(slurm.folder), "w 'x'.h5 cpu"]


def test_the_environment_is_made_once_before_the_tasks(slurm):
    file, _, _ = _submit(slurm, "train")
    done = _run(slurm, file, 'wc -l <"$HOME/calls/python.order"')
    assert done.returncode == 0, done.stderr
    # pip asked for, then installed, before srun.
    assert done.stdout.split()[-1] == "2"
    assert "requirements.txt" in " ".join(slurm.calls("python")[1])


@pytest.mark.parametrize(
    ("options", "tasks"),
    [
        (["--gpus-per-node=h100:8", "--nodes=2"], "8"),
        (["--gres=gpu:a100:3"], "3"),
        (["--nodes=4"], "1"),
    ],
)
def test_one_task_a_gpu_or_a_node(slurm, options, tasks):
    _, given, _ = _submit(slurm, *options, "train")
    assert given[1:] == [f"--ntasks-per-node={tasks}", *options]


def test_tasks_that_the_user_counts_stand(slurm):
    _, given, _ = _submit(slurm, "-n3", "--gpus-per-node=4", "train")
    assert given[1:] == ["-n3", "--gpus-per-node=4"]


@pytest.mark.parametrize(
    ("status", "requeued"), [(0, []), (75, [["requeue", "7"]]), (1, []), (137, [])]
)
def test_a_training_that_saved_is_requeued_and_no_other(slurm, status, requeued):
    file, _, _ = _submit(slurm, "train")
    done = _run(slurm, file, f"exit {status}")
    assert done.returncode == status
    assert slurm.calls("scontrol") == requeued


def test_a_requeue_that_fails_is_told(slurm):
    slurm.stand_in("scontrol", "exit 1")
    file, _, _ = _submit(slurm, "train")
    done = _run(slurm, file, "exit 75")
    assert done.returncode == 75
    assert "could not be requeued; submit it again" in done.stderr


def test_a_cancelled_job_tells_its_tasks_and_is_not_requeued(slurm):
    file, _, _ = _submit(slurm, "train")
    up = slurm.folder / "up"
    slurm.stand_in(
        "srun", 'trap "sleep 0.3; exit 75" TERM; touch "$HOME/up"; sleep 30 & wait $!'
    )
    job = subprocess.Popen(
        ["bash", file], env=slurm.environment(SLURM_JOB_ID="7"), cwd="/"
    )
    until = time.monotonic() + 30
    while not up.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=20) == 75
    assert slurm.calls("scontrol") == []


def test_dry_run_prints_file_and_call_and_does_nothing(slurm):
    before = sorted(slurm.folder.iterdir())
    (slurm.path / "sbatch").unlink()  # nor is it needed
    done = slurm.launch("slurm", "--dry_run", "--time=1:00", "train", *HOSTILE[:2])
    assert done.returncode == 0, done.stderr
    assert sorted(slurm.folder.iterdir()) == before
    assert "#SBATCH --requeue\n" in done.stdout
    # What is printed can be pasted: a shell reads the same arguments from it.
    last = done.stdout.splitlines()[-1]
    slurm.stand_in("sbatch")
    subprocess.run(["bash", "-c", last], env=slurm.environment(), check=True)
    (call,) = slurm.calls("sbatch")
    assert call[1:3] == ["--ntasks-per-node=1", "--time=1:00"]
    assert call[-1].startswith(f"{slurm.folder}/slurm/train-")


def test_sbatch_that_is_missing_or_fails_is_told(slurm):
    slurm.stand_in("sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 3")
    done = slurm.launch("slurm", "--partition=x", "train")
    assert done.returncode == 3
    assert "invalid partition" in done.stderr
    assert "error: sbatch ended with status 3; the job is in " in done.stderr
    (slurm.path / "sbatch").unlink()
    done = slurm.launch("slurm", "train")
    assert done.returncode == 2
    assert done.stderr == (
        "error: there is no sbatch on PATH: submit from a login node of the cluster\n"
    )


def test_what_cannot_be_submitted_is_refused(slurm):
    done = slurm.launch("slurm", "trian")
    assert done.returncode == 2
    assert "slurm cannot start 'trian'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert slurm.calls("sbatch") == []
