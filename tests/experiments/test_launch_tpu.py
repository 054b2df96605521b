"""`launch.sh tpu` against a stand-in of gcloud that runs the commands of each worker.

A worker is a folder: the stand-in unpacks, installs and runs there what it is sent, so
that starting, detaching, following and stopping are done for real on this machine.
"""

import os
import pathlib
import shlex
import signal
import time

import pytest

pytestmark = pytest.mark.extended

_HOSTILE = ["--config=a b.py:best", '--note=it\'s $HOME `date` "quoted" \\ *', ""]

# Knows `tpu-vm describe`, `scp` to and `ssh` into all workers or one. A worker with a
# file "lost" cannot be reached.
_GCLOUD = r"""
workers="$HOME"/workers
command= worker=0 given=()
for argument in "$@"; do
  case "$argument" in
    --command=*) command=${argument#*=} ;;
    --worker=*) worker=${argument#*=} ;;
    --*) ;;
    *) given+=("$argument") ;;
  esac
done
case "${given[3]}" in
  describe)
    [ -e "$workers" ] || { echo "NOT_FOUND" >&2; exit 1; }
    printf '%s\t' "$(cat "$workers/state")"
    first=1
    for folder in "$workers"/*/; do
      [ -n "$first" ] || printf ';'
      first=
      printf '10.0.0.1'
    done
    echo
    exit
    ;;
esac
status=0
for folder in "$workers"/*/; do
  number=$(basename "$folder")
  case "$worker" in all | "$number") ;; *) continue ;; esac
  if [ -e "$folder/lost" ]; then
    echo "ssh: worker $number: connection refused" >&2
    status=255
    continue
  fi
  case "${given[3]}" in
    ssh) (cd "$folder" && HOME=$folder WORKER=$number PATH=$folder/bin:$PATH \
      bash -c "$command") || status=$? ;;
    scp) cp "${given[4]}" "$folder/${given[5]#*:}" || status=$? ;;
  esac
done
exit $status
"""

# Stands in for the workers' Python: venv makes another of it, pip writes that it was
# asked, the command does what the file "body" of the worker says.
_PYTHON = r"""#!/bin/bash
case "$1 $2 $3" in
  "-m pip --version") ;;
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip install") echo "$@" >>"$HOME/pip" ;;
  "-c "*) ;;
  *)
    printf '%s\0' "$@" >"$HOME/arguments"
    pwd >"$HOME/folder"
    env >"$HOME/environment"
    exec bash "$HOME/body"
    ;;
esac
"""


class Slice:
    """A TPU VM of `count` workers, each a folder."""

    def __init__(self, bench, count):
        self.bench = bench
        self.folders = [bench.folder / "workers" / str(k) for k in range(count)]
        for number, folder in enumerate(self.folders):
            (folder / "bin").mkdir(parents=True)
            python = folder / "bin" / "python3"
            python.write_text(_PYTHON)
            python.chmod(0o755)
            host = folder / "bin" / "hostname"
            host.write_text(f"#!/bin/sh\necho t1v-w-{number}\n")
            host.chmod(0o755)
        self.state("READY")
        bench.stand_in("gcloud", _GCLOUD)

    def state(self, state):
        (self.bench.folder / "workers" / "state").write_text(state)

    def does(self, body, *numbers):
        for number in numbers or range(len(self.folders)):
            (self.folders[number] / "body").write_text(body)

    def launch(self, *arguments, **more):
        more = {"TPU_RETRY_SECONDS": "0.2"} | more
        return self.bench.launch("tpu", "my-tpu", "zone-b", *arguments, **more)

    def verbs(self):
        """Of each call of gcloud the verb, the worker, and what is done there."""
        return [
            (call[3], *(a for a in call if a.startswith(("--worker", "--command"))))
            for call in self.bench.calls("gcloud")
        ]


@pytest.fixture
def tpu(bench):
    for tool in ("basename", "pwd"):
        (bench.path / tool).symlink_to(f"/usr/bin/{tool}")
    vm = Slice(bench, 3)
    yield vm
    # A test that failed must not leave runs behind.
    for folder in vm.folders:
        pid = folder / "vgg_unpool_jax" / "run" / "pid"
        if pid.exists():
            try:
                os.killpg(int(pid.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                continue


def test_the_same_command_runs_on_all_workers(tpu):
    tpu.does('echo "hello of $(hostname)"')
    done = tpu.launch("--project=p", "train", *_HOSTILE, VGG19_WEIGHTS="w 'x'.h5")
    assert done.returncode == 0, done.stderr
    # Worker 0 is heard, then all tell how they ended.
    assert done.stdout.splitlines()[-4:] == [
        "hello of t1v-w-0",
        *(f"t1v-w-{k}: ended with status 0" for k in range(3)),
    ]
    for folder in tpu.folders:
        arguments = (folder / "arguments").read_text().split("\0")[:-1]
        assert arguments == ["-m", "experiments.train", *_HOSTILE]
        environment = (folder / "environment").read_text().splitlines()
        assert {"VGG_UNPOOL_CLUSTER=tpu", "VGG19_WEIGHTS=w 'x'.h5"} <= set(environment)
        tree = folder / "vgg_unpool_jax" / "tree"
        assert (folder / "folder").read_text().strip() == str(tree)
        assert "jax[tpu]" in (folder / "pip").read_text()
        assert (tree / "configs" / "vgg19_block1.py").exists()
        assert not list(tree.rglob("__pycache__"))
        assert not (tree / "tests").exists()
    for call in tpu.bench.calls("gcloud"):
        assert call[:3] == ["compute", "tpus", "tpu-vm"]
        assert {"--zone=zone-b", "--project=p"} <= set(call)
        assert any("my-tpu" in argument for argument in call)
    assert [verb for verb, *_ in tpu.verbs()][:4] == ["describe", "ssh", "scp", "ssh"]


def test_a_second_start_installs_nothing_and_keeps_what_a_run_wrote(tpu):
    tpu.does("mkdir -p runs/x; echo a >>runs/x/kept; exit 75")
    tree = tpu.folders[1] / "vgg_unpool_jax" / "tree"
    for _ in range(2):
        done = tpu.launch("train")
        assert done.returncode == 75, done.stderr
        assert "saved; the same command resumes there" in done.stderr
        # A file that is not in the checkout any more goes.
        assert not (tree / "configs" / "old.py").exists()
        (tree / "configs" / "old.py").touch()
    assert (tree / "runs" / "x" / "kept").read_text() == "a\na\n"
    assert len((tpu.folders[1] / "pip").read_text().splitlines()) == 1


def test_a_worker_that_fails_makes_the_status(tpu):
    tpu.does("exit 0", 0, 1)
    tpu.does("exit 9", 2)
    done = tpu.launch("train")
    assert done.returncode == 9
    assert "t1v-w-2: ended with status 9" in done.stdout
    assert "t1v-w-1: ended with status 0" in done.stdout


def test_workers_that_outlast_worker_0_are_ended(tpu):
    tpu.does("exit 3", 0)
    tpu.does("sleep 60", 1, 2)
    began = time.monotonic()
    done = tpu.launch("--grace=1", "train")
    assert time.monotonic() - began < 60
    assert done.returncode == 3
    assert "worker 0 ended and 2 others did not in 1 s: ending them" in done.stderr
    assert "t1v-w-1: ended with status 143" in done.stdout


def _lose(launcher):
    """Kill the launcher and with it, by its pipes, the connections."""
    launcher.kill()
    launcher.wait(timeout=20)
    launcher.stdout.close()
    launcher.stderr.close()


def _wait_for(path: pathlib.Path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.05)


def test_a_run_outlives_its_launcher_and_is_looked_after(tpu):
    tpu.does(
        'trap "echo saving; exit 75" TERM; echo working; touch "$HOME/up"\n'
        "while :; do sleep 0.1; done"
    )
    launcher = tpu.bench.start("tpu", "my-tpu", "zone-b", "train")
    for folder in tpu.folders:
        _wait_for(folder / "up")
    _lose(launcher)
    done = tpu.launch("status")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"t1v-w-{k}: running" for k in range(3)]
    # Nothing else is started over it, and nothing of it is replaced.
    done = tpu.launch("train")
    assert done.returncode == 2
    assert "error: t1v-w-1: a run is going on here; stop it first" in done.stderr
    assert tpu.launch("status").stdout.count("running") == 3
    done = tpu.launch("stop")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"t1v-w-{k}: ended with status 75" for k in range(3)
    ]
    done = tpu.launch("logs")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["working", "saving"]
    assert tpu.launch("status").returncode == 75


def test_a_lost_connection_is_made_again(tpu):
    tpu.does(
        'touch "$HOME/up"; while [ ! -e "$HOME/go" ]; do sleep 0.1; done; echo end'
    )
    launcher = tpu.bench.start(
        "tpu", "my-tpu", "zone-b", "train", TPU_RETRY_SECONDS="0.2"
    )
    _wait_for(tpu.folders[2] / "up")
    until = time.monotonic() + 30
    listening = []
    while not listening:
        assert time.monotonic() < until
        listening = _processes_with(f"--pid={_pid(tpu.folders[0])}")
    os.kill(listening[0], signal.SIGKILL)
    time.sleep(0.5)
    for folder in tpu.folders:
        (folder / "go").touch()
    output, errors = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, errors
    assert "the connection to worker 0 was lost; trying again" in errors
    assert "end\n" in output and output.count("ended with status 0") == 3


def _processes_with(argument):
    """Processes of this machine with an argument."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        if argument.encode() in arguments:
            found.append(int(path.parent.name))
    return found


def _pid(folder):
    return (folder / "vgg_unpool_jax" / "run" / "pid").read_text().strip()


def test_a_worker_that_cannot_be_reached_is_told(tpu):
    tpu.does("exit 0")
    assert tpu.launch("train").returncode == 0
    (tpu.folders[0] / "arguments").unlink()
    (tpu.folders[1] / "lost").touch()
    done = tpu.launch("train")
    assert done.returncode == 2
    assert "not all workers of my-tpu can be reached by ssh" in done.stderr
    assert not (tpu.folders[0] / "arguments").exists()
    done = tpu.launch("status")
    assert done.returncode == 1
    assert done.stdout.count("ended with status 0") == 2
    assert "only 2 of 3 workers reported their state" in done.stderr


def test_a_machine_that_is_not_ready_or_not_there(tpu):
    tpu.state("PREEMPTED")
    done = tpu.launch("train")
    assert done.returncode == 2
    assert done.stderr == "error: the TPU VM my-tpu is PREEMPTED, not READY\n"
    (tpu.bench.folder / "workers").rename(tpu.bench.folder / "gone")
    done = tpu.launch("status")
    assert done.returncode == 2
    assert "gcloud does not find the TPU VM my-tpu in zone-b" in done.stderr
    (tpu.bench.path / "gcloud").unlink()
    done = tpu.launch("train")
    assert done.stderr == (
        "error: there is no gcloud on PATH: install the Google Cloud CLI\n"
    )


def test_what_cannot_be_done_is_refused(tpu):
    done = tpu.bench.launch("tpu", "my-tpu", "zone-b", "trian")
    assert done.returncode == 2
    assert "tpu cannot start 'trian'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert tpu.bench.calls("gcloud") == []


def test_dry_run_prints_what_a_run_would_call(tpu):
    (tpu.bench.path / "gcloud").rename(tpu.bench.folder / "gcloud")
    before = sorted(tpu.bench.folder.rglob("*"))
    printed = tpu.launch("--dry_run", "train", *_HOSTILE)
    assert printed.returncode == 0, printed.stderr
    assert sorted(tpu.bench.folder.rglob("*")) == before
    (tpu.bench.folder / "gcloud").rename(tpu.bench.path / "gcloud")
    lines = [x for x in printed.stdout.splitlines() if x.startswith("gcloud ")]
    # A shell reads from the lines what the run itself calls.
    read = [shlex.split(line)[1:] for line in lines]
    tpu.does("exit 0")
    assert tpu.launch("train", *_HOSTILE).returncode == 0
    calls = tpu.bench.calls("gcloud")
    # The archive lies elsewhere; the state is asked for once in a dry run.
    for call in (*read, *calls):
        call[:] = ["ARCHIVE" if a.endswith(".gz") and ":" not in a else a for a in call]
    assert read == calls[: len(read)]
    assert calls[len(read) :] in ([], *([calls[-1]] * k for k in range(1, 50)))
    command = printed.stdout.splitlines()
    assert any(x.startswith("arguments=(train --config=a\\ b.py:best") for x in command)
