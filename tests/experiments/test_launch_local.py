"""`launch.sh local`: several processes on this machine, watched to their end."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

_HOSTILE = ["--config=a b.py:best", '--note=it\'s $HOME "quoted" \\ *', ""]
# Where a stand-in of Python is asked to watch, the real one does.
_WATCHED = f"""
case "$1$2" in
  -mpip) exit ;;
  *local.py*) exec "{sys.executable}" "$@" ;;
esac
number=${{VGG_UNPOOL_PROCESS:-none}}
"""


@pytest.fixture
def local(bench):
    """Run `launch.sh local` with `body` in the place of the command."""

    def prepare(body):
        folder = bench.folder / "venv" / "bin"
        bench.stand_in("python", _WATCHED + body, where=folder)
        return bench

    return prepare


def _started(bench):
    """Arguments of the processes that were started, without `-m MODULE`."""
    calls = [call for call in bench.calls("python") if call[0] == "-m"]
    return [call[2:] for call in calls if call[1] == "experiments.train"]


def test_each_process_knows_who_it_is(local):
    bench = local('echo "I am $number"; env | grep ^VGG_UNPOOL | sort >"seen $number"')
    done = bench.launch("local", "--processes=3", "train", "--workdir=w k", *_HOSTILE)
    assert done.returncode == 0, done.stderr
    # Process 0 here, the others in their logs.
    assert "I am 0" in done.stdout and "I am 1" not in done.stdout
    for number in (1, 2):
        log = bench.folder / "w k" / "logs" / f"process-{number}.log"
        assert log.read_text() == f"I am {number}\n"
    assert _started(bench) == [["--workdir=w k", *_HOSTILE]] * 3
    addresses = set()
    for number in range(3):
        lines = (bench.folder / f"seen {number}").read_text().splitlines()
        seen = dict(line.split("=") for line in lines)
        assert seen["VGG_UNPOOL_PROCESS"] == str(number)
        assert seen["VGG_UNPOOL_PROCESSES"] == "3"
        addresses.add(seen["VGG_UNPOOL_COORDINATOR"])
    (address,) = addresses
    assert address.startswith("127.0.0.1:") and int(address.split(":")[1]) > 1023


def test_logs_are_kept_from_start_to_start(local):
    bench = local("echo started")
    for _ in range(2):
        done = bench.launch("local", "--processes=2", "--logs=my logs", "train")
        assert done.returncode == 0, done.stderr
    log = bench.folder / "my logs" / "process-1.log"
    assert log.read_text() == "started\nstarted\n"


def test_when_one_dies_the_others_are_ended(local):
    bench = local('[ "$number" != 1 ] || { echo "no disk"; exit 3; }; exec sleep 60')
    began = time.monotonic()
    done = bench.launch("local", "--processes=3", "train")
    assert time.monotonic() - began < 20
    assert done.returncode == 3
    assert "process 1 ended with status 3: ending the others (0, 2)" in done.stderr
    assert "process 0 ended by signal 15" in done.stderr
    assert "[1] no disk" in done.stderr


def test_those_that_do_not_listen_are_killed_with_their_children(local):
    bench = local(
        '[ "$number" != 0 ] || exit 4; trap "" TERM; sleep 60 & echo $! >child; wait'
    )
    began = time.monotonic()
    done = bench.launch("local", "--processes=2", "--grace=1", "train")
    assert time.monotonic() - began < 20
    assert done.returncode == 4
    assert "process 1 ended by signal 9" in done.stderr
    _check_child_is_gone(bench)


def test_children_of_a_dead_process_do_not_stay(local):
    bench = local(
        '[ "$number" = 0 ] || { sleep 60 & echo $! >child; kill -9 $$; }; exec sleep 60'
    )
    done = bench.launch("local", "--processes=2", "train")
    assert done.returncode == 128 + 9
    assert "process 1 ended by signal 9: ending the others (0)" in done.stderr
    _check_child_is_gone(bench)


def _check_child_is_gone(bench):
    child = pathlib.Path("/proc") / (bench.folder / "child").read_text().strip()
    # Gone, or dead and not yet taken note of by the process that inherited it.
    assert not child.exists() or "State:\tZ" in (child / "status").read_text()


def test_saved_everywhere_is_75_and_nobody_is_disturbed(local):
    # A signal would make process 1 end with 143.
    bench = local('[ "$number" = 0 ] || sleep 1; exit 75')
    done = bench.launch("local", "--processes=2", "train")
    assert done.returncode == 75
    assert done.stderr == "saved; the same command resumes there\n"


def test_saved_is_not_the_status_when_another_failed(local):
    bench = local('[ "$number" = 0 ] || { sleep 0.5; exit 6; }; exit 75')
    done = bench.launch("local", "--processes=2", "train")
    assert done.returncode == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_all_processes(local, number):
    bench = local(
        'trap "echo got >got-$number; exit 75" TERM INT; touch "up-$number"\n'
        "while :; do sleep 0.1; done"
    )
    process = bench.start("local", "--processes=2", "train")
    until = time.monotonic() + 30
    while not all((bench.folder / f"up-{k}").exists() for k in range(2)):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 75
    assert f"{number.name} passed on to all processes" in errors
    assert all((bench.folder / f"got-{k}").exists() for k in range(2))


def test_dry_run_prints_lines_that_can_be_pasted(local):
    bench = local('echo "I am $number"')
    done = bench.launch(
        *("local", "--processes=2", "--dry_run", "train", "--workdir=w k", *_HOSTILE),
        PYTHON=sys.executable,
    )
    assert done.returncode == 0, done.stderr
    assert bench.calls("python") == []
    assert not (bench.folder / "w k").exists()
    assert len(done.stdout.splitlines()) == 2
    (bench.folder / "w k" / "logs").mkdir(parents=True)
    pasted = subprocess.run(
        ["bash", "-c", f"{done.stdout}wait"],
        env=bench.environment(),
        cwd=bench.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert pasted.stdout == "I am 0\n"
    assert (bench.folder / "w k/logs/process-1.log").read_text() == "I am 1\n"
    assert _started(bench) == [["--workdir=w k", *_HOSTILE]] * 2


def test_logs_of_a_workdir_in_a_bucket_stay_here(local):
    bench = local('echo "I am $number"')
    done = bench.launch("local", "--processes=2", "train", "--workdir=gs://bucket/w")
    assert done.returncode == 0, done.stderr
    assert (bench.folder / "logs/process-1.log").read_text() == "I am 1\n"
    assert not (bench.folder / "gs:").exists()
    assert _started(bench) == [["--workdir=gs://bucket/w"]] * 2


def test_what_cannot_be_started_is_refused(local):
    bench = local("")
    done = bench.launch("local", "--processes=2", "trian")
    assert done.returncode == 2
    assert "local cannot start 'trian'" in done.stderr
    assert _started(bench) == []


def test_a_gpu_for_each_process(local):
    bench = local("echo trained")
    bench.stand_in("nvidia-smi", 'echo "GPU 0: A"; echo "GPU 1: B"; echo "  MIG"')

    def launch(count, **more):
        return bench.launch(
            "local", f"--processes={count}", "train", ACCELERATOR="cuda", **more
        )

    assert launch(2).returncode == 0
    for variables, count, where in [
        ({}, 2, "nvidia-smi -L"),
        ({"CUDA_VISIBLE_DEVICES": "5"}, 1, "CUDA_VISIBLE_DEVICES=5"),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, "CUDA_VISIBLE_DEVICES="),
    ]:
        done = launch(3, **variables)
        assert done.returncode == 2
        assert done.stderr == (
            f"error: 3 processes want a GPU each, there are {count} ({where})\n"
        )
    bench.stand_in("nvidia-smi", 'echo "no driver" >&2; exit 9')
    assert launch(1).stderr == "error: nvidia-smi -L failed: no driver\n"
    (bench.path / "nvidia-smi").unlink()
    assert "there is no nvidia-smi" in launch(1).stderr


_PROGRAM = """
import sys
import jax
import numpy as np
from jax.experimental import multihost_utils
from experiments.cli import command
from vgg_unpool_jax.errors import ConfigError

def main():
    index = jax.process_index()
    print("sum", multihost_utils.process_allgather(np.array(index + 1)).sum())
    if "fail" in sys.argv and index == 1:
        raise ConfigError("process 1 cannot go on")
    if "break" in sys.argv and index == 1:
        raise RuntimeError("process 1 is broken")
    if len(sys.argv) > 1:
        multihost_utils.process_allgather(np.array(index))

command.run(lambda _: main(), shares_work=True, positional=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "status", "told"),
    [
        (None, 0, None),
        ("fail", 1, "[1] error: process 1 cannot go on"),
        ("break", 1, "[1] RuntimeError: process 1 is broken"),
    ],
)
@pytest.mark.extended
def test_real_processes_join_and_leave(local, tmp_path, argument, status, told):
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    arguments = f" {argument}" if argument else ""
    bench = local(f'exec "{sys.executable}" "{program}"{arguments}')
    began = time.monotonic()
    done = bench.launch(
        *("local", "--processes=2", "--grace=2", "train"),
        JAX_PLATFORMS="cpu",
        LD_LIBRARY_PATH=os.environ.get("LD_LIBRARY_PATH", ""),
    )
    # JAX alone waits for 300 s when one process ends and the other waits for it.
    assert time.monotonic() - began < 90
    assert done.returncode == status, done.stderr
    assert "sum 3" in done.stdout
    if told:
        assert told in done.stderr
        assert "process 1 ended with status 1, log logs/process-1.log" in done.stderr
