"""Runs whose workdir is gs://BUCKET/PATH are those of a folder, bit for bit."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.errors import CheckpointError, ConfigError
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.results import write_evaluation
from vgg_unpool_jax.systems.unpooling.pair import load_pair
from vgg_unpool_jax.training.checkpoints import Checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKDIR = "gs://bucket/runs/one"
RUN = "runs/one/"


@pytest.fixture(scope="module")
def finished(make_config, _storage):
    """The objects of a run of six steps in the bucket, and what it returned."""
    _storage.objects.clear()
    result = train_and_evaluate(make_config(), WORKDIR)
    return dict(_storage.objects), result


@pytest.fixture
def run(finished, bucket):
    """The bucket with a finished run."""
    for name, content in finished[0].items():
        bucket.put(name, content)
    bucket.requests.clear()
    return bucket


def _names(bucket, part=""):
    prefix = RUN + part
    return {n.removeprefix(prefix) for n in bucket.objects if n.startswith(prefix)}


def _folders(bucket, part):
    return {name.split("/")[0] for name in _names(bucket, part)}


def _download(bucket, folder):
    for name in _names(bucket):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.objects[RUN + name])
    return folder


def _final_state(workdir):
    with Checkpoints(workdir, create=False) as saved:
        return saved.restore_for_inference(), saved.steps()


def test_it_leaves_the_same(
    run, finished, uninterrupted, assert_same_tree, read_scalars, tmp_path
):
    assert_same_tree(finished[1].state, uninterrupted.result.state)
    assert finished[1].metrics == uninterrupted.result.metrics
    there, here = _final_state(WORKDIR), _final_state(uninterrupted.workdir)
    assert there[1] == here[1] == [3, 6]
    assert_same_tree(there[0], here[0])
    local = _download(run, tmp_path)
    for name in ("config.json", "validation.json", "best/config.json"):
        assert (local / name).read_bytes() == (
            uninterrupted.workdir / name
        ).read_bytes()
    pictures = {p.name for p in (uninterrupted.workdir / "pictures").iterdir()}
    assert {p.name for p in (local / "pictures").iterdir()} == pictures
    ours, theirs = read_scalars(local), read_scalars(uninterrupted.workdir)
    assert ours.keys() == theirs.keys()
    assert ours["train/loss"] == theirs["train/loss"]
    assert ours["validation/loss"] == theirs["validation/loss"]
    # A workdir that was fetched is one like any other.
    assert_same_tree(_final_state(local)[0], here[0])


def test_it_goes_on_from_where_time_ran_out(
    make_config, bucket, uninterrupted, assert_same_tree
):
    stopped = train_and_evaluate(make_config(), WORKDIR, max_minutes=0)
    assert int(stopped.state.step) == 1
    done = train_and_evaluate(make_config(), WORKDIR)
    assert_same_tree(done.state, uninterrupted.result.state)
    with pytest.raises(ConfigError, match=f"{WORKDIR} holds a run with another config"):
        train_and_evaluate(make_config(seed=7), WORKDIR)


def _as_if_killed_while_saving(bucket):
    """What is in the bucket before orbax writes its last files of step 6."""
    checkpoint = f"{RUN}checkpoints/6/"
    bucket.remove(f"{checkpoint}commit_success.txt")
    bucket.remove(f"{checkpoint}state/commit_success.txt")
    notes = json.loads(bucket.objects[f"{checkpoint}_CHECKPOINT_METADATA"])
    notes["commit_timestamp_nsecs"] = None
    bucket.put(f"{checkpoint}_CHECKPOINT_METADATA", json.dumps(notes).encode())
    bucket.put(f"{checkpoint}left", b"")


def test_an_unfinished_checkpoint_is_removed(
    make_config, run, uninterrupted, assert_same_tree, caplog
):
    caplog.set_level("INFO")
    _as_if_killed_while_saving(run)
    assert _final_state(WORKDIR)[1] == [3]
    done = train_and_evaluate(make_config(), WORKDIR)
    assert f"resuming {WORKDIR} at step 3" in caplog.text
    assert_same_tree(done.state, uninterrupted.result.state)
    assert _folders(run, "checkpoints/") == {"3", "6"}
    assert "checkpoints/6/left" not in _names(run)
    assert not _names(run, "damaged_checkpoints/")


def test_a_copied_checkpoint_without_its_mark_is_not_removed(run):
    run.remove(f"{RUN}checkpoints/6/commit_success.txt")
    with Checkpoints(WORKDIR):
        pass
    assert "checkpoints/6/_CHECKPOINT_METADATA" in _names(run)


def _largest(bucket, step):
    parts = [n for n in bucket.objects if f"checkpoints/{step}/state/" in n]
    return max(
        (n for n in parts if n.startswith(f"{RUN}checkpoints/")),
        key=lambda name: len(bucket.objects[name]),
    )


def test_a_damaged_checkpoint_is_moved_aside(
    make_config, run, uninterrupted, assert_same_tree, caplog
):
    name = _largest(run, 6)
    content = bytearray(run.objects[name])
    content[len(content) // 2] ^= 1
    run.put(name, bytes(content))
    before = _names(run, "checkpoints/6/")
    done = train_and_evaluate(make_config(), WORKDIR)
    assert f"it was moved to {WORKDIR}/damaged_checkpoints/6" in caplog.text
    assert_same_tree(done.state, uninterrupted.result.state)
    assert _names(run, "damaged_checkpoints/6/") == before
    assert run.objects[name.replace("/checkpoints/", "/damaged_checkpoints/")] == bytes(
        content
    )


# Reads that are still under way find no event loop that they could report to; commands
# do not print that either (`experiments.cli.reports`).
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("part", ["/state/d/|/state/ocdbt", "/checksums/"])
def test_what_cannot_be_reached_is_not_called_damaged(make_config, run, part):
    before = dict(run.objects)
    run.forbidden = part
    with pytest.raises(CheckpointError, match=r"checkpoints/6 cannot be read: ") as e:
        train_and_evaluate(make_config(), WORKDIR)
    assert "\n" not in str(e.value)
    lock = f"{RUN}lock.json"
    assert {**run.objects, lock: b""} == {**before, lock: b""}


def test_no_lock_is_held_nothing_is_left_here_and_a_warning_says_so(
    make_config, bucket, caplog, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    train_and_evaluate(make_config(num_steps=1), WORKDIR)
    assert f"{WORKDIR} is in a bucket, where no lock is held" in caplog.text
    assert "the last one was" not in caplog.text
    train_and_evaluate(make_config(num_steps=1), WORKDIR)
    assert f"; the last one was pid {os.getpid()} on " in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_trained_pair_is_evaluated_and_exported(run, uninterrupted, photos):
    trained = load_trained(WORKDIR)
    here = load_pair(uninterrupted.workdir)
    image = np.full((16, 16, 3), 100, np.float32)
    np.testing.assert_array_equal(
        trained.reconstruct(image[None]), here.reconstruct(image[None])
    )
    source = make_source(f"folder:{photos}")
    part = Split(source, np.arange(len(source)))
    score = trained.evaluate(part, image_size=16, batch_size=4)
    files = write_evaluation(WORKDIR, trained, score, {})
    assert [str(file) for file in files] == [
        f"{WORKDIR}/results.json",
        f"{WORKDIR}/pictures/evaluation.png",
    ]
    results = json.loads(run.objects[f"{RUN}results.json"])
    assert results["provenance"]["workdir"] == WORKDIR
    assert _names(run, "tensorboard/evaluation/")
    file = f"{WORKDIR}/decoder.safetensors"
    trained.export(file)
    np.testing.assert_array_equal(
        load_pair(file).reconstruct(image[None]), here.reconstruct(image[None])
    )


_PROGRAM = """
import sys
import jax
from vgg_unpool_jax.runtime import processes
from vgg_unpool_jax.systems import train_and_evaluate
import json, ml_collections
processes.join(shares_work=True)
config = ml_collections.ConfigDict(json.loads(sys.argv[1]))
result = train_and_evaluate(config, "gs://bucket/runs/one")
print(int(result.state.step), result.metrics["loss"])
"""


@pytest.mark.slow
@pytest.mark.extended
def test_two_processes_write_one_run(make_config, bucket, run_processes):
    config = make_config(data__batch_size=4)
    told = run_processes(_PROGRAM, 2, json.dumps(config.to_dict()))
    # Gloo speaks of itself before.
    lines = [output.splitlines()[-1] for output in told]
    assert lines[0] == lines[1] and lines[0].startswith("6 ")
    (params, _, step), steps = _final_state(WORKDIR)
    assert steps == [3, 6] and step == 6
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


@pytest.mark.slow
@pytest.mark.extended
def test_a_killed_process_goes_on_from_its_last_checkpoint(photos, bucket):
    fields = {
        "num_steps": 30,
        "data.source": f"folder:{photos}",
        "data.image_size": 16,
        "evaluation.image_size": 16,
        "evaluation.every_steps": 1000,
        "checkpoints.every_steps": 5,
        "loss.ms_ssim": 0.0,
        "loss.perceptual": 0.0,
    }
    command = [
        *(sys.executable, "-m", "experiments.train", f"--workdir={WORKDIR}"),
        "--config=configs/vgg19_block1.py:runlocal",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "step 13 of 30" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL
    whole = [n for n in _names(bucket, "checkpoints/") if n.count("/") == 1]
    last = max(int(n.split("/")[0]) for n in whole if n.endswith("commit_success.txt"))
    assert last in (5, 10)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"resuming {WORKDIR} at step {last}" in done.stderr
    assert f"step 30 of 30 in {WORKDIR}" in done.stdout
