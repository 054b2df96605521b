"""Workdirs that cannot be written, or hold what nobody wrote."""

import os
import re
import signal
import socket
import subprocess

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.extended]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own and a function size -> it has that size from now on."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder]
        return subprocess.run(command, capture_output=True, text=True)

    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    made = mount("size=1200k")
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted: {made.stderr.strip()}")

    def change(*options):
        changed = mount("remount", *options)
        assert changed.returncode == 0, changed.stderr

    yield folder, change
    subprocess.run(["umount", folder], check=True)


@pytest.mark.fault("the disk is full")
def test_the_disk_is_full(small_disk, make_training, undisturbed, assert_same_end):
    folder, change = small_disk
    # Three checkpoints are kept, and one or two have room.
    training = make_training(folder)
    training.log = folder.parent / "stderr.txt"
    status, told = training.run()
    assert status == 1, told
    kept = training.checkpoints()
    assert kept and kept[-1] < 40, kept
    sentence = told.strip().splitlines()[-1]
    wanted = (
        rf"error: a checkpoint cannot be written in {training.workdir}/checkpoints: "
        r"[Nn]o space left on device.*; whole ones there: "
    )
    assert re.match(wanted, sentence), told
    assert sentence.endswith(", ".join(map(str, kept)))
    assert "Traceback" not in told
    # Each of them can be read, and the same command goes on from the newest.
    change("size=20m")
    status, told = training.run()
    assert status == 0, told
    assert f"resuming {training.workdir} at step {kept[-1]}" in told
    assert_same_end(training, undisturbed)


@pytest.mark.fault("the workdir is read-only")
def test_the_workdir_becomes_read_only(
    small_disk, make_training, undisturbed, assert_same_end
):
    folder, change = small_disk
    change("size=20m")
    training = make_training(folder)
    training.log = folder.parent / "stderr.txt"
    process = training.start()
    training.wait_for(process, "step 7 of 40: loss")
    process.terminate()
    assert process.wait(timeout=60) == 75
    change("ro")
    status, told = training.run()
    assert status == 1, told
    assert told.strip().splitlines()[-1] == (
        f"error: nothing can be written into the folder {training.workdir}"
    )
    assert "Traceback" not in told
    change("rw", "size=20m")
    assert training.run()[0] == 0
    assert_same_end(training, undisturbed)


@pytest.mark.fault("two runs in one workdir")
def test_two_runs_in_one_workdir(make_training, undisturbed, assert_same_end, tmp_path):
    first = make_training(tmp_path)
    process = first.start()
    first.wait_for(process, "step 1 of 40: loss")
    # As if it were slow: it must not be done before the second has started.
    process.send_signal(signal.SIGSTOP)
    second = make_training(tmp_path)
    second.log = tmp_path / "second.txt"
    status, told = second.run()
    assert status == 1
    assert re.search(
        rf"^error: {first.workdir} is held by another run \(pid {process.pid} on "
        rf"{socket.gethostname()} since .*\): take another workdir, or stop that one",
        told,
        re.MULTILINE,
    ), told
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=100) == 0
    assert_same_end(first, undisturbed)


def _damage(folder, kind):
    """Damage the checkpoint in a folder: the largest file, which holds arrays."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    if kind == "notes of another shape":
        notes = folder / "_CHECKPOINT_METADATA"
        notes.write_text('{"commit_timestamp_nsecs": {"soon": 1}}')
    elif kind == "a missing file":
        largest.unlink()
    elif kind == "half of a file":
        largest.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 8
        largest.write_bytes(content)


@pytest.mark.fault("a checkpoint is damaged")
def test_a_checkpoint_is_damaged(make_training, undisturbed, assert_same_end, tmp_path):
    training = make_training(tmp_path, checkpoints__every_steps=3)
    kinds = (
        "a flipped bit",
        "half of a file",
        "a missing file",
        "notes of another shape",
    )
    aside = training.workdir / "damaged_checkpoints"
    damaged = None
    for kind in (*kinds, None):
        moved_before, told = set(aside.glob("*")), len(training.told())
        process = training.start()
        if kind is not None:
            wanted = training.last_checkpoint() + 5
            training.wait_for(process, f"step {wanted} of 40: loss", after=told)
            process.terminate()
        assert process.wait(timeout=100) == (0 if kind is None else 75)
        said = training.told()[told:]
        if damaged is not None:
            (moved,) = set(aside.glob("*")) - moved_before
            assert re.search(rf"checkpoint {damaged} .*; it was moved to {moved}", said)
            resumed = int(re.search(r"resuming .* at step (\d+)", said)[1])
            assert 0 < resumed < int(damaged.name)
        if kind is not None:
            newest = str(training.last_checkpoint())
            damaged = training.workdir / "checkpoints" / newest
            _damage(damaged, kind)
    assert_same_end(training, undisturbed)
