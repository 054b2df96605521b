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


def test_the_disk_is_full(
    small_disk, make_training, undisturbed, assert_same_end, report_fault
):
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
    report_fault(
        "the disk is full",
        "workdir on a file system of 1.2 MB, which holds fewer checkpoints than are "
        "kept",
        1,
        "status 1 and one sentence, which names the folder, the reason and the "
        "checkpoints that are whole; with room again the same command went on from "
        "the newest; final state equal bit for bit",
        "nothing",
    )


def test_the_workdir_becomes_read_only(
    small_disk, make_training, undisturbed, assert_same_end, report_fault
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
        f"error: {training.workdir}/lock.json: Read-only file system"
    )
    assert "Traceback" not in told
    change("rw", "size=20m")
    assert training.run()[0] == 0
    assert_same_end(training, undisturbed)
    report_fault(
        "the workdir is read-only",
        "its file system mounted so before the second start of a run",
        1,
        "status 1 and one sentence; writable again, the same command went on; final "
        "state equal bit for bit",
        "nothing",
    )


def test_two_runs_in_one_workdir(
    make_training, undisturbed, assert_same_end, report_fault, tmp_path
):
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
    report_fault(
        "two runs in one workdir",
        "the same command started a second time while the first trained",
        1,
        "the second ended with status 1 and the pid and host of the first, which "
        "trained on to the same bits",
        "nothing",
    )


def test_a_checkpoint_is_damaged(
    make_training, undisturbed, assert_same_end, report_fault, tmp_path
):
    training = make_training(tmp_path)
    kinds = (
        "a flipped bit",
        "half of a file",
        "a missing file",
        "notes of another shape",
    )
    for kind in kinds:
        told = len(training.told())
        process = training.start()
        wanted = max(10, training.last_checkpoint() + 5)
        training.wait_for(process, f"step {wanted} of 40: loss", after=told)
        process.terminate()
        assert process.wait(timeout=60) == 75
        newest = training.last_checkpoint()
        folder = training.workdir / "checkpoints" / str(newest)
        largest = max(
            (path for path in folder.rglob("*") if path.is_file()),
            key=lambda path: path.stat().st_size,
        )
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
        aside = training.workdir / "damaged_checkpoints"
        before = set(aside.glob("*"))
        told = len(training.told())
        process = training.start()
        training.wait_for(process, "resuming", after=told)
        process.terminate()
        process.wait(timeout=60)
        said = training.told()[told:]
        (moved,) = set(aside.glob("*")) - before
        assert re.search(rf"checkpoint {folder} .*; it was moved to {moved}", said)
        resumed = int(re.search(r"resuming .* at step (\d+)", said)[1])
        assert resumed < newest
    assert training.run()[0] == 0
    assert_same_end(training, undisturbed)
    report_fault(
        "a checkpoint is damaged",
        f"{', '.join(kinds)} in the newest one",
        len(kinds),
        "it was named and moved to `damaged_checkpoints/`; the run went on from the "
        "one before; final state equal bit for bit",
        "nothing",
    )
