"""Damage in every file of a checkpoint but its arrays, read in every way.

`test_fuzz_checkpoints.py` starts this in a process of its own: after readings that fail
in the middle, orbax's threads complain long after.
"""

import hypothesis
import jax
import numpy as np
import optax
import pytest

from tests.faults.damage import assert_documented, damaged, relaxed
from vgg_unpool_jax.errors import CheckpointError, DamagedCheckpointError
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.state import create_train_state

RECORD = {"vgg19": {"origin": "random:seed=0", "sha256": "ab", "n": 3}}
FILES = (
    "_CHECKPOINT_METADATA",
    "record/metadata",
    "checksums/metadata",
    "state/_METADATA",
)


def _state():
    params = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    return create_train_state(params, {}, optax.adam(0.1), averaged=False)


def _assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    with Checkpoints(workdir) as saved:
        saved.save(_state(), RECORD)
    return workdir


@pytest.mark.parametrize("file", FILES)
def test_a_checkpoint_is_as_written_or_refused(file, workdir):
    path = workdir / "checkpoints" / "0" / file
    state, whole = _state(), path.read_bytes()
    like = jax.tree.map(np.zeros_like, state)
    ways = (
        (lambda saved: saved.read_record(), RECORD),
        (lambda saved: saved.restore(like), state),
        (lambda saved: saved.restore_for_inference()[0], state.params),
    )

    def read(use):
        with Checkpoints(workdir, create=False) as saved:
            return use(saved)

    @hypothesis.settings(relaxed, max_examples=relaxed.max_examples // 3)
    @hypothesis.given(damaged(whole))
    def check(content):
        path.write_bytes(content)
        for use, expected in ways:
            errors = (CheckpointError, DamagedCheckpointError)
            found = assert_documented(
                lambda use=use: read(use), errors, workdir / "checkpoints"
            )
            if found is not None:
                _assert_same(found, expected)

    check()
    path.write_bytes(whole)
    for use, expected in ways:
        _assert_same(read(use), expected)
