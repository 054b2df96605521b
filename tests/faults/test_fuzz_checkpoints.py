"""Checkpoints and released decoders: whatever is in their files, what was written.

Or else one sentence: a file is never read as something that nobody wrote.
"""

import json
import pathlib
import subprocess
import sys

import hypothesis
import jax
import numpy as np
import optax
import pytest
import safetensors
import safetensors.numpy
from flax import traverse_util
from hypothesis import strategies as st

from configs.unpooling import base as unpooling
from tests.faults.damage import (
    ODD_VALUES,
    assert_documented,
    changed_bytes,
    damaged,
    other_documents,
    relaxed,
)
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.errors import (
    CheckpointError,
    ConfigError,
    DamagedCheckpointError,
    ReleaseError,
    WeightsMismatchError,
    WeightsUnavailableError,
)
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.releases.model_card import model_card
from vgg_unpool_jax.releases.release_metadata import METADATA_KEY
from vgg_unpool_jax.releases.released import (
    decoder_shapes,
    encoder_sha256,
    read_decoder,
    write_decoder,
)
from vgg_unpool_jax.systems.unpooling.objective import (
    load_recorded_weights,
    weights_record,
)
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.state import create_train_state

FAULT = (
    "damaged checkpoint metadata and releases",
    "cut off, noise, changed bytes and other JSON in each file of a checkpoint beside "
    "its arrays and in released decoders (hypothesis: 20 to 200 each time)",
    "what was written, or refused by name in one sentence; never other values",
    "that checkpoint or release",
)

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

CONFIG = unpooling.make_config(1, "runlocal")
CONFIG.encoder.weights = "random"
WEIGHTS = random_vgg19_weights(0, block=1)
RECORD = {"vgg19": weights_record(WEIGHTS)}


def _variables():
    generator = np.random.default_rng(0)
    shapes = decoder_shapes(1, CONFIG.decoder.to_dict())
    arrays = {n: generator.standard_normal(s, np.float32) for n, s in shapes.items()}
    return traverse_util.unflatten_dict(arrays, sep="/")


def _state():
    variables = _variables()
    params = variables.pop("params")
    return create_train_state(params, variables, optax.sgd(0.1), averaged=False)


@pytest.fixture(autouse=True)
def _nothing_to_download(monkeypatch):
    """A record that names other weights sends nobody to the network."""
    monkeypatch.setenv("VGG_UNPOOL_WEIGHTS_URL", "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run with a checkpoint; tests put its config back."""
    workdir = tmp_path_factory.mktemp("run")
    with Checkpoints(workdir) as saved:
        saved.save(_state(), RECORD)
    return workdir


@pytest.fixture(scope="module", params=["float32", "int8"])
def release(request, tmp_path_factory):
    """A released decoder."""
    path = tmp_path_factory.mktemp("release") / "whole.safetensors"
    write_decoder(
        path,
        _variables(),
        config=CONFIG.to_dict(),
        vgg19=RECORD["vgg19"],
        encoder_sha256=encoder_sha256(WEIGHTS.params, 1),
        step=6,
        dtype=request.param,
        facts={"hours": 1.5, "photos": {"kinds": [1, "b"]}},
    )
    assert load_pair(path).step == 6
    return path


def test_a_pair_of_a_damaged_config_is_loaded_or_refused(workdir):
    path = workdir / run_config.FILE
    run_config.save(workdir, CONFIG)
    assert load_pair(workdir).step == 0
    # The last where the config tells of another decoder than the checkpoint has.
    errors = (ConfigError, WeightsMismatchError, CheckpointError)

    @relaxed
    @hypothesis.given(other_documents(CONFIG.to_dict()))
    def check(content):
        path.write_bytes(content)
        assert_documented(lambda: load_pair(workdir), errors)

    check()


# --- checkpoints ----------------------------------------------------------------------


def fuzz_checkpoints(workdir):
    """Damage every file of a checkpoint but its arrays, and read it in every way."""
    folder = workdir / "checkpoints" / "0"
    state = _state()
    like = jax.tree.map(np.zeros_like, state)
    ways = (
        (lambda saved: saved.read_record(), RECORD),
        (lambda saved: saved.restore(like), state),
        (lambda saved: saved.restore_for_inference()[0], state.params),
    )
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if "d" not in path.parts and path.suffix == ""]
    names = {path.relative_to(folder).as_posix() for path in files}
    assert {"_CHECKPOINT_METADATA", "record/metadata", "state/_METADATA"} <= names
    assert {"checksums/metadata", "state/array_metadatas/process_0"} <= names
    for path in files:
        whole = path.read_bytes()
        _fuzz_checkpoint(workdir, path, ways)
        path.write_bytes(whole)
        for use, wanted in ways:
            with Checkpoints(workdir, create=False) as saved:
                _assert_same(use(saved), wanted)


def _fuzz_checkpoint(workdir, path, ways):
    def read(use):
        with Checkpoints(workdir, create=False) as saved:
            return use(saved)

    @hypothesis.settings(relaxed, max_examples=20, database=None)
    @hypothesis.given(content=damaged(path.read_bytes()))
    def check(content):
        path.write_bytes(content)
        for use, wanted in ways:
            errors = (CheckpointError, DamagedCheckpointError)
            found = assert_documented(
                lambda use=use: read(use), errors, workdir / "checkpoints"
            )
            if found is not None:
                _assert_same(found, wanted)

    check()


def _assert_same(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_is_what_was_written_or_refused(workdir):
    # Readings that fail in the middle leave orbax' threads complaining long after, so
    # it has a process of its own.
    code = (
        "import pathlib, sys; from tests.faults import test_fuzz_checkpoints as tests; "
        "tests.fuzz_checkpoints(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, workdir],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@relaxed
@hypothesis.given(other_documents(RECORD["vgg19"]).map(json.loads) | ODD_VALUES)
def test_a_record_of_another_shape_names_no_weights(record):
    """As an earlier version wrote it, without a checksum."""
    weights = assert_documented(
        lambda: load_recorded_weights(CONFIG.encoder, record),
        (WeightsMismatchError, WeightsUnavailableError),
    )
    if weights is not None:
        assert weights.sha256 == record["sha256"] == WEIGHTS.sha256


# --- released decoders ----------------------------------------------------------------


def _parts(release):
    with safetensors.safe_open(release, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        return arrays, file.metadata()[METADATA_KEY]


def test_changed_metadata_of_a_release_are_used_or_refused(release, tmp_path):
    path = tmp_path / "changed.safetensors"
    arrays, text = _parts(release)
    texts = damaged(text.encode()).map(lambda b: b.decode("utf-8", "replace"))

    @relaxed
    @hypothesis.given(texts)
    def check(text):
        path.write_bytes(safetensors.numpy.save(arrays, {METADATA_KEY: text}))
        decoder = assert_documented(lambda: read_decoder(path), (ReleaseError,), path)
        errors = (ReleaseError, WeightsMismatchError, WeightsUnavailableError)
        assert_documented(lambda: load_pair(path), errors)
        if decoder is not None:
            assert_documented(
                lambda: model_card(decoder.metadata, name="it"), (ReleaseError,), "it"
            )

    check()


def test_a_damaged_file_of_a_release_is_refused(release, tmp_path):
    """Its header, its arrays, its length: never another decoder."""
    path = tmp_path / "changed.safetensors"
    content = release.read_bytes()
    header = int.from_bytes(content[:8], "little") + 8
    ways = (
        changed_bytes(content[:header]).map(lambda head: head + content[header:])
        | changed_bytes(content)
        | st.integers(0, len(content) - 1).map(lambda size: content[:size])
    )
    wanted = read_decoder(release).variables

    @relaxed
    @hypothesis.given(ways)
    def check(damaged_content):
        path.write_bytes(damaged_content)
        found = assert_documented(lambda: read_decoder(path), (ReleaseError,), path)
        if found is not None:  # a letter of the facts, say
            jax.tree.map(np.testing.assert_array_equal, found.variables, wanted)

    check()


RESULTS = {
    "metrics": {"l1": {"mean": 2.5, "interval": [2.0, 3.0], "photos": 4}},
    "training_steps": 6,
    "source": "folder:photos",
    "crop": "center",
    "provenance": {"config": {"encoder": {"block": 1}}},
}


def test_results_of_another_shape_are_shown_or_refused_by_a_card(release):
    metadata = read_decoder(release).metadata
    assert "2.5" in model_card(metadata, RESULTS)

    @relaxed
    @hypothesis.given(other_documents(RESULTS))
    def check(content):
        assert_documented(
            lambda: model_card(metadata, json.loads(content)), (ReleaseError,)
        )

    check()
