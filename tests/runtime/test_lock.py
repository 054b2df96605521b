"""Two processes and one workdir."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.runtime import lock

_HOLD = """
import sys, time
from vgg_unpool_jax.runtime.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_with_pid_and_host_of_the_first(holder, tmp_path):
    wanted = rf"held by another run \(pid {holder.pid} on {socket.gethostname()} since"
    for _ in range(2):  # a refusal leaves the first one's name where it is
        with pytest.raises(ConfigError, match=wanted), lock.locked(tmp_path):
            pytest.fail("the workdir was locked twice")


def test_a_killed_run_leaves_no_lock_behind(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock.locked(tmp_path):
        owner = json.loads((tmp_path / lock.FILE).read_text())
    assert owner["pid"] == os.getpid()


def test_a_folder_is_free_after_use_and_after_an_error(tmp_path):
    with pytest.raises(KeyError), lock.locked(tmp_path / "new"):
        raise KeyError
    with lock.locked(tmp_path / "new"):
        pass


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(lock.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    with lock.locked(tmp_path):
        pass
    assert f"{tmp_path} cannot be locked (No locks available)" in caplog.text


def test_any_other_fault_is_not_hidden(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(lock.fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), lock.locked(tmp_path):
        pass
