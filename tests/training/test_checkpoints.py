"""Checkpoints: what is in them, who can read them, what is refused."""

import errno
import json
import pathlib
import shutil
import subprocess
import sys
import unittest.mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from vgg_unpool_jax.errors import CheckpointError, DamagedCheckpointError
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.integrity import array_checksums, json_checksum
from vgg_unpool_jax.training.state import create_train_state

RECORD = {"vgg19": {"origin": "random:seed=0", "sha256": "ab", "n": 3}}


def _state(width=3, averaged=True, step=5):
    params = {"layer": {"kernel": jnp.arange(2.0 * width).reshape(2, width)}}
    statistics = {"statistics": {"feature_rms": jnp.full((2,), 7.0)}}
    state = create_train_state(params, statistics, optax.adam(0.1), averaged=averaged)
    average = jax.tree.map(lambda x: x + 100.0, params) if averaged else None
    return state.replace(step=jnp.asarray(step, jnp.int32), average=average)


@pytest.fixture(scope="module")
def saved_workdir(tmp_path_factory):
    """A workdir with checkpoints of steps 5 and 7; do not write into it."""
    workdir = tmp_path_factory.mktemp("saved")
    with Checkpoints(workdir) as saved:
        saved.save(_state(step=5), RECORD)
        saved.save(_state(step=7), RECORD)
    return workdir


def test_a_state_comes_back_whole_in_a_new_manager(saved_workdir, assert_same_tree):
    with Checkpoints(saved_workdir, create=False) as saved:
        assert saved.steps() == [5, 7]
        assert saved.latest_step() == 7
        like = jax.eval_shape(_state)  # shapes alone are enough
        assert_same_tree(saved.restore(like), _state(step=7))
        assert_same_tree(saved.restore(like, step=5), _state(step=5))
        assert saved.read_record() == RECORD
        assert saved.read_record(step=5) == RECORD


def test_checkpoints_of_earlier_versions_are_read_and_followed(
    tmp_path, assert_same_tree
):
    """They hold arrays of devices, and checksums by a handler of this package."""
    state = _state(step=5)
    checksums = {"record": json_checksum(RECORD)} | array_checksums(vars(state))
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        items = {
            "state": ocp.args.StandardSave(vars(state)),
            "record": ocp.args.JsonSave(RECORD),
            "checksums": ocp.args.JsonSave(checksums),
        }
        manager.save(5, args=ocp.args.Composite(**items))
    assert (tmp_path / "checkpoints" / "5" / "state" / "_sharding").exists()
    metadata = tmp_path / "checkpoints" / "5" / "_CHECKPOINT_METADATA"
    content = json.loads(metadata.read_text())
    handler = "vgg_unpool_jax.training.checkpoints.LaterJsonHandler"
    content["item_handlers"]["checksums"] = handler
    metadata.write_text(json.dumps(content))
    with Checkpoints(tmp_path) as saved:
        saved.set_damaged_aside()
        assert_same_tree(saved.restore(jax.eval_shape(_state)), state)
        assert saved.read_record() == RECORD
        saved.save(_state(step=7), RECORD)
    with Checkpoints(tmp_path, create=False) as saved:
        assert_same_tree(saved.restore(_state()), _state(step=7))
        assert_same_tree(saved.restore(_state(), step=5), state)


def test_inference_gets_the_average_where_there_is_one(saved_workdir, assert_same_tree):
    with Checkpoints(saved_workdir, create=False) as saved:
        params, model_state, step = saved.restore_for_inference()
    assert step == 7
    assert_same_tree(params, _state().average)
    assert_same_tree(model_state, _state().model_state)


def test_inference_gets_the_parameters_where_there_is_no_average(
    tmp_path, assert_same_tree
):
    state = _state(averaged=False)
    with Checkpoints(tmp_path) as saved:
        saved.save(state, RECORD)
    with Checkpoints(tmp_path, create=False) as saved:
        params, model_state, step = saved.restore_for_inference()
        assert_same_tree(saved.restore(state), state)
    assert step == 5
    assert_same_tree(params, state.params)
    assert_same_tree(model_state, state.model_state)


def test_old_checkpoints_beyond_the_limit_are_removed(tmp_path):
    with Checkpoints(tmp_path, max_to_keep=2) as saved:
        for step in (1, 2, 3):
            saved.save(_state(step=step), RECORD)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]


def test_a_step_is_saved_once(tmp_path, assert_same_tree):
    with Checkpoints(tmp_path) as saved:
        saved.save(_state(step=1), RECORD)
        changed = _state(step=1)
        saved.save(changed.replace(params=changed.average), RECORD)
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.steps() == [1]
        assert_same_tree(saved.restore(_state()), _state(step=1))


def test_a_step_behind_the_newest_is_not_left_out_silently(tmp_path):
    with Checkpoints(tmp_path) as saved:
        saved.save(_state(step=3), RECORD)
        with pytest.raises(ValueError, match="has step 3, got step 2 to save"):
            saved.save(_state(step=2), RECORD)
        saved.delete([3])
        saved.save(_state(step=2), RECORD)
        assert saved.steps() == [2]


# --- what is refused ------------------------------------------------------------------


def test_another_models_checkpoint_is_refused_with_both_shapes(saved_workdir):
    with Checkpoints(saved_workdir, create=False) as saved:
        with pytest.raises(CheckpointError) as caught:
            saved.restore(_state(width=4))
    sentence = str(caught.value)
    assert str(saved_workdir / "checkpoints" / "7") in sentence
    assert "kernel is (2, 3) in the checkpoint and (2, 4) in the model" in sentence
    assert "\n" not in sentence


def test_a_missing_step_is_named_with_those_that_are_there(saved_workdir):
    with Checkpoints(saved_workdir, create=False) as saved:
        with pytest.raises(CheckpointError, match=r"step 6 in .*, only of 5, 7"):
            saved.restore(_state(), step=6)


def test_a_folder_without_checkpoints_is_named_and_not_created(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint in") as caught:
        Checkpoints(tmp_path / "run", create=False)
    assert str(tmp_path / "run" / "checkpoints") in str(caught.value)
    assert not (tmp_path / "run").exists()


DAMAGES = {
    "no data": lambda step: shutil.rmtree(step / "state" / "d"),
    "no metadata": lambda step: (step / "state" / "_METADATA").unlink(),
    "no state": lambda step: shutil.rmtree(step / "state"),
    "empty": lambda step: _overwrite(step, b""),
    "other content": lambda step: _overwrite(step, b"no"),
    "a key that is no text": lambda step: _replace_keys(step, {"key": True}),
}

# Readings that fail in the middle leave orbax' threads complaining about a closed event
# loop long after; in a process of their own they trouble no other test.
READ_DAMAGED = """
import json, pathlib, sys
from vgg_unpool_jax.errors import DamagedCheckpointError
from vgg_unpool_jax.training.checkpoints import Checkpoints

found = {}
for workdir in map(pathlib.Path, sys.argv[1:]):
    with Checkpoints(workdir, create=False) as saved:
        try:
            saved.restore_for_inference(step=7)
        except DamagedCheckpointError as error:
            found[workdir.name] = str(error)
print(json.dumps(found))
"""


def _replace_keys(step, change):
    """In the entries for the index 0 of a tuple; orbax raises an AssertionError."""
    path = step / "state" / "_METADATA"
    content = json.loads(path.read_text())
    changed = 0
    for entry in content["tree_metadata"].values():
        for key in entry["key_metadata"]:
            if key == {"key": "0", "key_type": 1}:
                key.update(change)
                changed += 1
    assert changed
    path.write_text(json.dumps(content))


def _overwrite(step, content):
    for path in step.rglob("*"):
        if path.is_file():
            path.write_bytes(content)


def test_damaged_checkpoints_are_one_sentence_with_their_path(saved_workdir, tmp_path):
    for name, damage in DAMAGES.items():
        shutil.copytree(saved_workdir, tmp_path / name)
        damage(tmp_path / name / "checkpoints" / "7")
    done = subprocess.run(
        [sys.executable, "-c", READ_DAMAGED, *(str(tmp_path / n) for n in DAMAGES)],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    sentences = json.loads(done.stdout.splitlines()[-1])
    assert set(sentences) == set(DAMAGES)
    for name, sentence in sentences.items():
        assert str(tmp_path / name / "checkpoints") in sentence
        assert "\n" not in sentence


@pytest.mark.parametrize("name", ["average", "model_state"])
def test_an_entry_without_arrays_that_is_missing_is_noticed(name, tmp_path):
    params = {"kernel": jnp.ones((2,))}
    state = create_train_state(params, {}, optax.adam(0.1), averaged=False)
    with Checkpoints(tmp_path) as saved:
        saved.save(state, RECORD)
    path = tmp_path / "checkpoints" / "0" / "state" / "_METADATA"
    content = json.loads(path.read_text())
    del content["tree_metadata"][f"('{name}',)"]
    path.write_text(json.dumps(content))
    with Checkpoints(tmp_path, create=False) as saved:
        with pytest.raises(DamagedCheckpointError, match=f"{name} is not what was"):
            saved.restore_for_inference()


def test_a_checkpoint_that_was_being_written_does_not_count(saved_workdir, tmp_path):
    """A killed run leaves a folder under orbax' temporary name."""
    workdir = tmp_path / "copy"
    shutil.copytree(saved_workdir, workdir)
    folder = workdir / "checkpoints"
    (folder / "7").rename(folder / "7.orbax-checkpoint-tmp-123")
    (folder / "7.orbax-checkpoint-tmp-123" / "commit_success.txt").unlink(
        missing_ok=True
    )
    with Checkpoints(workdir, create=False) as saved:
        assert saved.steps() == [5]
        assert int(saved.restore(_state()).step) == 5
    assert len(list(folder.iterdir())) == 2  # a reader removes nothing
    with Checkpoints(workdir) as saved:
        assert saved.steps() == [5]
    assert [path.name for path in folder.iterdir()] == ["5"]


def _flip_a_bit(workdir, step):
    """In the middle of the file that holds the arrays."""
    files = (workdir / "checkpoints" / str(step) / "state").rglob("d/*")
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)


def _large_state(step):
    """Arrays of numbers that no compression hides."""
    state = _state(step=step)
    kernel = np.random.default_rng(step).standard_normal((100, 100), np.float32)
    return state.replace(params={"layer": {"kernel": kernel}})


@pytest.fixture
def large_workdir(tmp_path):
    """A workdir with checkpoints of steps 5 and 7."""
    with Checkpoints(tmp_path) as saved:
        saved.save(_large_state(5), RECORD)
        saved.save(_large_state(7), RECORD)
    return tmp_path


def test_a_flipped_bit_is_noticed(large_workdir, assert_same_tree):
    _flip_a_bit(large_workdir, 7)
    like = _large_state(7)
    with Checkpoints(large_workdir, create=False) as saved:
        with pytest.raises(DamagedCheckpointError, match="checkpoints/7 is damaged: "):
            saved.restore(like)
        with pytest.raises(DamagedCheckpointError, match="checkpoints/7 is damaged: "):
            saved.restore_for_inference()
        assert_same_tree(saved.restore(like, step=5), _large_state(5))


def test_a_checkpoint_without_checksums_is_read_as_it_is(
    large_workdir, assert_same_tree
):
    shutil.rmtree(large_workdir / "checkpoints" / "7" / "checksums")
    with Checkpoints(large_workdir, create=False) as saved:
        saved.set_damaged_aside()
        assert_same_tree(saved.restore(_large_state(7)), _large_state(7))


def test_damaged_checkpoints_are_kept_aside_until_one_is_whole(large_workdir, caplog):
    with Checkpoints(large_workdir) as saved:
        saved.set_damaged_aside()  # there is nothing to do
        assert saved.steps() == [5, 7]
    for round_number in (1, 2):
        _flip_a_bit(large_workdir, 7)
        with Checkpoints(large_workdir) as saved:
            saved.set_damaged_aside()
            assert saved.latest_step() == 5
            saved.save(_large_state(7), RECORD)
        aside = large_workdir / "damaged_checkpoints"
        assert len(list(aside.iterdir())) == round_number
    assert "checkpoints/7 is damaged" in caplog.text
    assert f"moved to {aside / '7'}" in caplog.text
    assert f"moved to {aside / '7-2'}" in caplog.text


def test_without_a_whole_checkpoint_a_run_begins_anew(large_workdir):
    for step in (5, 7):
        _flip_a_bit(large_workdir, step)
    with Checkpoints(large_workdir) as saved:
        saved.set_damaged_aside()
        assert saved.latest_step() is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ESTALE, "Stale file handle"),
        ValueError("UNAVAILABLE: reading [os_error_code='5' source_locations='x']"),
    ],
)
def test_what_cannot_be_read_now_is_not_moved_away(error, large_workdir, monkeypatch):
    with Checkpoints(large_workdir) as saved:
        monkeypatch.setattr(
            saved._manager, "restore", unittest.mock.Mock(side_effect=error)
        )
        with pytest.raises(CheckpointError, match="cannot be read") as refused:
            saved.set_damaged_aside()
        assert not isinstance(refused.value, DamagedCheckpointError)
        assert saved.steps() == [5, 7]
    assert not (large_workdir / "damaged_checkpoints").exists()


def test_a_record_with_numbers_as_keys_is_not_taken_for_damaged(tmp_path):
    with Checkpoints(tmp_path) as saved:
        saved.save(_state(), {"levels": {2: "a", 10: "b"}})
        saved.wait()
        assert saved.read_record() == {"levels": {"2": "a", "10": "b"}}
